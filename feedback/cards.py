"""What a version of a pipeline said of itself when it was here, out of the registry."""

from dataclasses import dataclass
from datetime import date

from appliance.core.errors import ConfigError
from pipelines.card import RegulatoryStatus
from pipelines.manifest import Manifest, parse_manifest
from results_store.registry import RegisteredVersion
from results_store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One version's card. Without `manifest` it is of a form that is read no more."""

    version: RegisteredVersion
    manifest: Manifest | None

    @property
    def title(self) -> str:
        """Return what readers call the pipeline."""
        return self.manifest.title if self.manifest else self.version.name

    def label(self, day: date) -> str:
        """Return the words that stood beside a result made on `day`; "" where they are unknown."""
        return self.manifest.regulatory.label_on(day) if self.manifest else ""

    def mark(self, day: date) -> RegulatoryStatus:
        """Return as what the label is shown: a clearance that had ended is none."""
        if self.manifest is None or self.manifest.regulatory.is_expired(day):
            return RegulatoryStatus.RESEARCH
        return self.manifest.regulatory.status


class Cards:
    """Cards by the hash of the folder."""

    def __init__(self, store: Store) -> None:
        self._registry = store.registry
        self._read: dict[str, Manifest | None] = {}  # as many as there ever were versions

    def of(self, digest: str) -> Card | None:
        """Return the version's card, or None for one that was here before there was a registry."""
        found = self._registry.get(digest)
        return None if found is None else self._card(found)

    def all(self) -> tuple[Card, ...]:
        """Return every card, by name, the newest first."""
        return tuple(map(self._card, self._registry.versions()))

    def _card(self, version: RegisteredVersion) -> Card:
        if version.digest not in self._read:
            self._read[version.digest] = _manifest(version)
        return Card(version=version, manifest=self._read[version.digest])


def _manifest(version: RegisteredVersion) -> Manifest | None:
    try:
        return parse_manifest(version.manifest, version.name)
    except ConfigError:  # written for an earlier version of the appliance
        return None
