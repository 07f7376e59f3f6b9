"""What a check found, as plain values: the command prints them, and writes them as JSON."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum

from appliance.core.model import Finding


class Ending(StrEnum):
    """How a check ended."""

    GOOD = "good"
    REFUSED = "refused"  # the pipeline says that the study is not what it was made for
    FAILED = "failed"
    NOT_CHOSEN = "not-chosen"  # no series fits an input
    NOT_RUN = "not-run"  # no study was named


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsLine:
    """A weight file whose SHA-256 is the manifest's."""

    file: str
    sha256: str
    licence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What the folder says of the pipeline. `unsaid` is what a reader misses."""

    name: str
    version: str
    kind: str
    digest: str
    title: str
    manufacturer: str
    intended_use: str
    label: str
    clinical_role: str
    licence: str
    card: str
    weights: tuple[WeightsLine, ...]
    outputs: int
    unsaid: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyLine:
    """One study in the folder, and which of its series the pipeline would be given."""

    study_instance_uid: str
    series: int
    images: int
    left_out: tuple[str, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseLine:
    """One phase; bytes are the peak of this process and of the pipeline's own processes."""

    phase: str
    seconds: float
    here: int | None
    pipeline: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingLine:
    """One measurement of one structure and side."""

    name: str
    side: str | None
    code: str
    concept: str
    concept_code: str
    value: float | None
    unit: str
    not_measured: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectLine:
    """One DICOM object; `path` is "" where none was asked for."""

    kind: str
    series_description: str
    size: int
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything. What a failure cut off is empty; `reason` says why, in plain words.

    `gaps` is what the pipeline could have done on this machine for want of isolation.
    """

    about: About
    ending: Ending
    reason: str = ""
    study: StudyLine | None = None
    device: str | None = None
    gaps: tuple[str, ...] = ()
    phases: tuple[PhaseLine, ...] = ()
    findings: tuple[FindingLine, ...] = ()
    notes: tuple[str, ...] = ()
    objects: tuple[ObjectLine, ...] = ()
    pictures: tuple[str, ...] = ()

    def as_data(self) -> Mapping[str, object]:
        """Return the report as JSON knows it."""
        return asdict(self)


def finding_lines(findings: Iterable[Finding]) -> tuple[FindingLine, ...]:
    """Return a line for each measurement of each finding."""
    return tuple(
        FindingLine(
            name=finding.name,
            side=finding.side.value if finding.side else None,
            code=f"{finding.structure.scheme} {finding.structure.value}",
            concept=measurement.concept.meaning,
            concept_code=f"{measurement.concept.scheme} {measurement.concept.value}",
            value=measurement.value,
            unit=measurement.unit.value,
            not_measured=measurement.not_measured,
        )
        for finding in findings
        for measurement in finding.measurements
    )
