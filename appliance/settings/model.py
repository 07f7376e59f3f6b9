"""The whole settings file."""

from typing import Self

from pydantic import Field, PrivateAttr, model_validator

from appliance.core.documents import Document, KeyPath, Lines, Source, mistakes_at
from appliance.settings.doors import FetchRule, ImportSettings
from appliance.settings.site import (
    Appliance,
    Destination,
    IntakeSettings,
    ReceiverSettings,
    Retention,
    StoreSettings,
)
from appliance.settings.values import Name
from appliance.settings.watch import DriftSettings, WebSettings
from appliance.settings.work import JobSettings, PipelineSettings, RouteSettings


class Settings(Document):
    """Everything that a site writes, in one file."""

    appliance: Appliance = Field(description="Who this installation is.")
    receiver: ReceiverSettings = Field(
        default_factory=ReceiverSettings, description="The DICOM listener."
    )
    intake: IntakeSettings = Field(
        default_factory=IntakeSettings, description="From received instances to studies."
    )
    retention: Retention = Field(default_factory=Retention, description="How long things are kept.")
    store: StoreSettings = Field(default_factory=StoreSettings, description="The database.")
    destinations: dict[Name, Destination] = Field(
        default_factory=dict, description="DICOM nodes by name: where results go, and who is asked."
    )
    pipelines: dict[Name, PipelineSettings] = Field(
        default_factory=dict, description="Pipelines by name: how each runs here."
    )
    fetch: tuple[FetchRule, ...] = Field(
        default=(), description="Studies that are fetched by rule, where an archive cannot route."
    )
    imports: ImportSettings | None = Field(
        default=None, alias="import", description="A folder that is watched. Off without it."
    )
    routes: tuple[RouteSettings, ...] = Field(
        default=(), description="Rules; each one decides for itself, the order means nothing."
    )
    jobs: JobSettings = Field(default_factory=JobSettings, description="The queue and its workers.")
    web: WebSettings = Field(default_factory=WebSettings, description="The pages.")
    drift: DriftSettings = Field(
        default_factory=DriftSettings, description="Comparison with reference periods."
    )

    _source: Source = PrivateAttr(default=Source(name="settings", lines=Lines(None)))

    def read_from(self, source: Source) -> Self:
        """Note where the settings were read from; return them."""
        self._source = source
        return self

    def problem(self, key: KeyPath, text: str) -> str:
        """Return a problem at a key, with file and line."""
        return self._source.problem(key, text)

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        tls = self.receiver.tls
        doors = {
            "receiver.listen": self.receiver.listen,
            **({"receiver.tls.listen": tls.listen} if tls is not None else {}),
            "web.listen": self.web.listen,
        }
        owners: dict[int, str] = {}
        for key, door in doors.items():
            owner = owners.setdefault(door.port, key)
            if owner != key:
                advice = f"port {door.port} is {owner}'s already; write another"
                raise mistakes_at((tuple(key.split(".")), advice))
        return self

    @model_validator(mode="after")
    def _commitments_can_be_answered(self) -> Self:
        known = {destination.ae_title for destination in self.destinations.values()}
        advice = "is missing, and no destination has its AE title; write where it takes the answers"
        mistakes = [
            (("receiver", "peers", number, "reports_to"), advice)
            for number, peer in enumerate(self.receiver.peers)
            if peer.commitment and peer.reports_to is None and peer.ae_title not in known
        ]
        if mistakes:
            raise mistakes_at(*mistakes)
        return self

    @model_validator(mode="after")
    def _imports_lie_elsewhere(self) -> Self:
        if self.imports is not None:
            folder, data = self.imports.folder, self.appliance.data_dir
            if folder.is_relative_to(data) or data.is_relative_to(folder):
                advice = f"{folder} and appliance.data_dir contain each other; name another"
                raise mistakes_at((("import", "folder"), advice))
        return self

    @property
    def store_url(self) -> str:
        """Return the database's address, the default filled in."""
        return self.store.url or f"sqlite:///{self.appliance.data_dir / 'store.db'}"
