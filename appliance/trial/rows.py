"""One cohort's results as rows of two tables: measurements, and how each study ended."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from appliance.core.model import Finding, PipelineResult
from appliance.trial.journal import Settled
from results_store.tables import COUNT, NUMBER, TEXT, Fields, Format, open_tables

_BATCH = 2000
_FORMATS: tuple[Format, ...] = ("csv", "parquet")
PHASES = ("read", "load", "transfer", "infer")

_RUN: Fields = {
    "study_instance_uid": TEXT,
    "series_instance_uid": TEXT,
    "pipeline": TEXT,
    "pipeline_version": TEXT,
    "pipeline_digest": TEXT,
    "device": TEXT,
    "job_id": COUNT,
}
MEASUREMENTS: Fields = {
    **_RUN,
    "finding": TEXT,
    "structure_value": TEXT,
    "structure_scheme": TEXT,
    "structure_meaning": TEXT,
    "side": TEXT,
    "concept_value": TEXT,
    "concept_scheme": TEXT,
    "concept_meaning": TEXT,
    "value": NUMBER,
    "unit_value": TEXT,
    "not_measured": TEXT,
}
STUDIES: Fields = {
    **_RUN,
    "outcome": TEXT,
    "reason": TEXT,
    "inputs": TEXT,
    "images": COUNT,
    "notes": TEXT,
    **{f"seconds_{phase}": NUMBER for phase in PHASES},
}


def measurement_rows(
    run: Mapping[str, Any], result: PipelineResult
) -> tuple[Mapping[str, Any], ...]:
    """Return a row for each measurement; what was not measured has its row and reason too."""
    return tuple(
        {
            **run,
            **_finding(finding),
            "concept_value": measurement.concept.value,
            "concept_scheme": measurement.concept.scheme,
            "concept_meaning": measurement.concept.meaning,
            "value": measurement.value,
            "unit_value": measurement.unit.value,
            "not_measured": measurement.not_measured,
        }
        for finding in result.findings
        for measurement in finding.measurements
    )


def _finding(finding: Finding) -> Mapping[str, Any]:
    row = {
        "finding": finding.name,
        "structure_value": finding.structure.value,
        "structure_scheme": finding.structure.scheme,
        "structure_meaning": finding.structure.meaning,
        "side": finding.side.value if finding.side else "",
    }
    if finding.region is not None:
        row["series_instance_uid"] = finding.region.series_instance_uid
    return row


class Target:
    """Where the tables go: NAME.csv or NAME.parquet; without an ending, both.

    `path` names the measurements; how each study ended stands beside them in NAME-studies. What a
    run has settled so far is kept in NAME.jsonl.
    """

    def __init__(self, path: Path) -> None:
        ending = path.suffix.removeprefix(".")
        wanted = tuple(one for one in _FORMATS if one == ending)
        self._formats = wanted or _FORMATS
        self._stem = path.with_suffix("") if wanted else path

    @property
    def name(self) -> str:
        """Return the name without an ending."""
        return self._stem.name

    @property
    def journal(self) -> Path:
        """Return the file that says what is settled."""
        return self._beside(".jsonl")

    def write(self, settled: Iterable[Settled]) -> tuple[Path, ...]:
        """Write both tables, replacing earlier ones; return the files."""
        kept = tuple(settled)
        measured = (row for one in kept for row in one.measurements)
        return (
            *self._write("", MEASUREMENTS, measured),
            *self._write("-studies", STUDIES, (one.study for one in kept)),
        )

    def _write(
        self, what: str, fields: Fields, rows: Iterable[Mapping[str, Any]]
    ) -> tuple[Path, ...]:
        files = {format_: self._beside(f"{what}.{format_}") for format_ in self._formats}
        with open_tables(fields, files) as writers:
            for batch in _batches(rows):
                complete = [{name: row.get(name) for name in fields} for row in batch]
                for writer in writers:
                    writer.write(complete)
        return tuple(files.values())

    def _beside(self, ending: str) -> Path:
        return self._stem.with_name(f"{self._stem.name}{ending}")


def _batches(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    remaining = iter(rows)
    while batch := list(islice(remaining, _BATCH)):
        yield batch
