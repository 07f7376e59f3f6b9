"""Who ran what, when and where: what an encoding needs to know beside pixels and findings."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from types import MappingProxyType

from appliance.core.model import CodingScheme, ObjectKind, Segment
from appliance.core.uids import uid_from_name

MAX_LO = 64  # characters of a Long String (PS3.5 6.2)
_FIRST_SERIES_NUMBER = 10_000
_PIPELINE_SLOTS = 800
_RUNS_A_SLOT = 50


# Objects that are encoded here; their order is that of series numbers.
_ENCODED = (ObjectKind.SEG, ObjectKind.SR)
# Behind all of theirs: series of objects that a pipeline made itself.
_FIRST_ADOPTED = _FIRST_SERIES_NUMBER + _PIPELINE_SLOTS * _RUNS_A_SLOT * len(_ENCODED)
ADOPTED_SERIES = 16  # of one run

_CONTENT: Mapping[ObjectKind, str] = MappingProxyType(
    {
        ObjectKind.SEG: "segmentation",
        ObjectKind.SR: "volumes",
    }
)
_ADOPTED_CONTENT: Mapping[ObjectKind, str] = MappingProxyType(
    {
        ObjectKind.SEG: "segmentation",
        ObjectKind.SR: "report",
        ObjectKind.SC: "pictures",
        ObjectKind.PDF: "document",
        ObjectKind.MAP: "map",
        ObjectKind.PR: "presentation",
        ObjectKind.RT: "structures",
        ObjectKind.IMAGE: "images",
        ObjectKind.OTHER: "object",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorObject:
    """An object of the run that this run supersedes, in the same study."""

    kind: str
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """The model, in the words of AIR table 6.5.3.1-1: equal wherever an object names it."""

    manufacturer: str
    name: str
    version: str
    device_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """One run. The same context, sources and output always give the same bytes.

    `created_at` is the job's; `time_zone` is the institution's, used for DICOM dates and times
    where the source says none. `institution` stands in where the source names none.
    `manufacturer` is the maker of the model. `uid_root` is a site's own root, None for `2.25.`
    UIDs. `coding_schemes` are private ones that the pipeline's codes may be of.
    """

    run_uid: str
    created_at: datetime
    time_zone: tzinfo
    pipeline: str
    pipeline_version: str
    pipeline_digest: str
    title: str
    manufacturer: str
    regulatory_label: str
    device_serial: str
    run_number: int = 1
    institution: str = ""
    uid_root: str | None = None
    supersedes: tuple[PriorObject, ...] = ()
    coding_schemes: tuple[CodingScheme, ...] = ()
    adopt: frozenset[ObjectKind] = frozenset()  # kinds that the pipeline may make itself
    given: frozenset[str] = frozenset()  # UIDs of all series and images that it was given

    @property
    def model(self) -> Model:
        """Return the model's identity; another folder digest is another device."""
        return Model(
            manufacturer=self.manufacturer[:MAX_LO],
            name=self.pipeline[:MAX_LO],
            version=self.pipeline_version[:MAX_LO],
            device_uid=uid_from_name("pipeline", self.pipeline_digest),
        )

    def uid(self, kind: ObjectKind, what: str) -> str:
        """Return the run's UID for `what` in the object of this kind."""
        return uid_from_name(self.run_uid, kind, what, root=self.uid_root)

    def series_description(self, kind: ObjectKind) -> str:
        """Return what a reader sees in the series list; the regulatory label is never cut off."""
        return self._describe(_CONTENT[kind])

    def adopted_description(self, kind: ObjectKind) -> str:
        """Return the same for a series that the pipeline made itself."""
        return self._describe(_ADOPTED_CONTENT[kind])

    def _describe(self, content: str) -> str:
        label = f" - {_inner(self.regulatory_label)}"
        what = f"{self.pipeline} {self.pipeline_version} {content}"
        return (what[: max(0, MAX_LO - len(label))] + label)[:MAX_LO]

    def series_number(self, kind: ObjectKind) -> int:
        """Return a number behind those of scanners; by pipeline, run and kind."""
        return _FIRST_SERIES_NUMBER + self._slot * len(_ENCODED) + _ENCODED.index(kind)

    def adopted_series_number(self, position: int) -> int:
        """Return a number for the series that is at `position` (from 0) of the adopted ones."""
        return _FIRST_ADOPTED + self._slot * ADOPTED_SERIES + position

    @property
    def _slot(self) -> int:
        slot = zlib.crc32(self.pipeline.encode()) % _PIPELINE_SLOTS
        return slot * _RUNS_A_SLOT + (self.run_number - 1) % _RUNS_A_SLOT


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedObject:
    """One object as a Part 10 file."""

    kind: str
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    series_description: str
    data: bytes
    segments: tuple[Segment, ...] = ()  # of a Segmentation that the pipeline made itself


def _inner(label: str) -> str:
    """Return `label` as it stands within a line: no capital, unless it begins an acronym."""
    return label[:1].lower() + label[1:] if label[1:2].islower() else label
