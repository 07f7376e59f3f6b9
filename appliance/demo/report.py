"""What the demo found, as the JSON document that other tools read. Its keys are fixed."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from appliance.core.model import Finding, Job, RouteDecision
from appliance.demo.pacs import Held


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRow:
    """One route's decision; `reasons` are sentences, one a condition."""

    rule: str
    matched: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """One run; `seconds` by phase."""

    pipeline: str
    version: str
    state: str
    device: str | None
    seconds: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingRow:
    """One measurement of one structure and side; `value` in `unit` (UCUM).

    Without a value, `not_measured` says why.
    """

    pipeline: str
    name: str
    code: str
    measured: str
    value: float | None
    unit: str
    side: str | None
    not_measured: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRow:
    """One object as it arrived in the PACS."""

    sop_class_uid: str
    sop_instance_uid: str
    series_description: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything about the first study that was sent; `problems` about all of them."""

    study_instance_uid: str
    decisions: tuple[DecisionRow, ...]
    jobs: tuple[JobRow, ...]
    findings: tuple[FindingRow, ...]
    objects: tuple[ObjectRow, ...]
    review_url: str
    problems: tuple[str, ...]

    def as_data(self) -> dict[str, object]:
        """Return the report as plain data."""
        return asdict(self)


def decision_row(decision: RouteDecision) -> DecisionRow:
    """Return the row of a decision."""
    reasons = tuple(
        f"{'holds' if reason.holds else 'fails'}: {reason.condition} (found {reason.found})"
        + (f" in series {reason.series_instance_uid}" if reason.series_instance_uid else "")
        for reason in decision.reasons
    )
    chosen = tuple(f"{i.pipeline}/{i.input_name}: {i.why}" for i in decision.inputs)
    return DecisionRow(
        rule=decision.route,
        matched=decision.matched,
        reasons=(decision.summary, *reasons, *chosen),
    )


def job_row(job: Job) -> JobRow:
    """Return the row of a run."""
    return JobRow(
        pipeline=job.pipeline,
        version=job.pipeline_version,
        state=job.state.value,
        device=job.device,
        seconds=dict(job.seconds),
    )


def finding_rows(pipeline: str, findings: Iterable[Finding]) -> tuple[FindingRow, ...]:
    """Return a row for each measurement of each finding."""
    return tuple(
        FindingRow(
            pipeline=pipeline,
            name=finding.name,
            code=finding.structure.value,
            measured=measurement.concept.meaning,
            value=measurement.value,
            unit=measurement.unit.value,
            side=finding.side.value if finding.side else None,
            not_measured=measurement.not_measured,
        )
        for finding in findings
        for measurement in finding.measurements
    )


def object_row(held: Held) -> ObjectRow:
    """Return the row of an object that the PACS holds."""
    return ObjectRow(
        sop_class_uid=held.sop_class_uid,
        sop_instance_uid=held.sop_instance_uid,
        series_description=held.series_description,
        path=str(Path(held.path).resolve()),
    )
