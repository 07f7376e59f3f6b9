"""What runs produced: findings, segments, features, notes and objects."""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Row, Table, select

from appliance.core.errors import StoreError
from appliance.core.model import (
    Code,
    Feature,
    Finding,
    Measurement,
    PipelineResult,
    Region,
    ResultObject,
    Segment,
    Side,
)
from results_store.engine import Database
from results_store.rows import columns, pick
from results_store.schema import outcome
from results_store.schema.outcome import result_object


class Results:
    """Results by job."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def objects(self, job_id: int) -> tuple[ResultObject, ...]:
        """Return the encoded objects, in the order in which they were made."""
        query = (
            select(result_object)
            .where(result_object.c.job_id == job_id)
            .order_by(result_object.c.id)
        )
        with self._database.read() as connection:
            return tuple(to_object(row) for row in connection.execute(query))

    def findings(self, job_id: int) -> tuple[Finding, ...]:
        """Return the findings with their measurements."""
        table = outcome.measurement
        query = (
            select(table)
            .where(table.c.job_id == job_id)
            .order_by(table.c.finding, table.c.position)
        )
        measurements: defaultdict[int, list[Measurement]] = defaultdict(list)
        with self._database.read() as connection:
            for row in connection.execute(query):
                measurements[row.finding].append(_to_measurement(row))
            return tuple(
                _to_finding(row, tuple(measurements[row.position]))
                for row in _of_job(connection, outcome.finding, job_id)
            )

    def segments(self, job_id: int) -> tuple[Segment, ...]:
        """Return the segments."""
        with self._database.read() as connection:
            rows = _of_job(connection, outcome.segment, job_id)
            return tuple(_to_segment(row) for row in rows)

    def features(self, job_id: int) -> tuple[Feature, ...]:
        """Return the features for drift."""
        with self._database.read() as connection:
            return tuple(
                Feature(
                    group=row.feature_group,
                    name=row.name,
                    number=row.number,
                    category=row.category,
                )
                for row in _of_job(connection, outcome.feature, job_id)
            )

    def notes(self, job_id: int) -> tuple[str, ...]:
        """Return the run's sentences for the reader."""
        with self._database.read() as connection:
            return tuple(row.sentence for row in _of_job(connection, outcome.note, job_id))

    def embedding(self, job_id: int) -> tuple[float, ...] | None:
        """Return the run's embedding, or None."""
        query = select(outcome.embedding.c.vector).where(outcome.embedding.c.job_id == job_id)
        with self._database.read() as connection:
            vector = connection.scalar(query)
            return None if vector is None else tuple(vector)


def save_result(connection: Connection, job_id: int, result: PipelineResult) -> None:
    """Write everything that the pipeline said. Raises StoreError for a number that is none."""
    _check_numbers(result)
    _add(connection, outcome.finding, map(_finding_row, result.findings), job_id)
    for position, finding in enumerate(result.findings):
        rows = map(_measurement_row, finding.measurements)
        _add(connection, outcome.measurement, rows, job_id, finding=position)
    _add(connection, outcome.segment, map(_segment_row, result.segments), job_id)
    _add(connection, outcome.feature, map(_feature_row, result.features), job_id)
    _add(connection, outcome.note, ({"sentence": note} for note in result.notes), job_id)
    if result.embedding is not None:
        values = {"job_id": job_id, "vector": list(result.embedding)}
        connection.execute(outcome.embedding.insert().values(**values))


def save_objects(
    connection: Connection, job_id: int, objects: tuple[ResultObject, ...]
) -> tuple[tuple[int, ResultObject], ...]:
    """Return the objects with the numbers of their new rows."""
    statement = result_object.insert().returning(result_object.c.id)
    return tuple(
        (connection.scalars(statement, {"job_id": job_id, **asdict(item)}).one(), item)
        for item in objects
    )


def to_object(row: Row[Any]) -> ResultObject:
    """Return the object of a row that has the columns of `result_object`."""
    return ResultObject(**pick(row, ResultObject))


def _of_job(connection: Connection, table: Table, job_id: int) -> Iterable[Row[Any]]:
    query = select(table).where(table.c.job_id == job_id).order_by(table.c.position)
    return connection.execute(query).all()


def _check_numbers(result: PipelineResult) -> None:
    numbers = [m.value for finding in result.findings for m in finding.measurements]
    numbers += [feature.number for feature in result.features]
    if not all(number is None or math.isfinite(number) for number in numbers):
        raise StoreError("a measurement or feature is not a finite number; say None and why")


def _add(
    connection: Connection,
    table: Table,
    rows: Iterable[dict[str, object]],
    job_id: int,
    **more: object,
) -> None:
    values = [
        {"job_id": job_id, "position": position, **more, **row} for position, row in enumerate(rows)
    ]
    if values:
        connection.execute(table.insert(), values)


def _code_columns(prefix: str, code: Code) -> dict[str, object]:
    return {f"{prefix}_{name}": value for name, value in asdict(code).items()}


def _finding_row(finding: Finding) -> dict[str, object]:
    region = finding.region
    return {
        "name": finding.name,
        **_code_columns("structure", finding.structure),
        "side": finding.side,
        "tracking_uid": finding.tracking_uid,
        "region_segment": region.segment_number if region else None,
        "region_series": region.series_instance_uid if region else None,
    }


def _measurement_row(measurement: Measurement) -> dict[str, object]:
    return {
        **_code_columns("concept", measurement.concept),
        "value": measurement.value,
        **_code_columns("unit", measurement.unit),
        "not_measured": measurement.not_measured,
    }


def _segment_row(segment: Segment) -> dict[str, object]:
    return {
        "number": segment.number,
        "name": segment.name,
        **_code_columns("structure", segment.structure),
        **_code_columns("category", segment.category),
        "side": segment.side,
        "tracking_uid": segment.tracking_uid,
        "color": list(segment.color),
    }


def _feature_row(feature: Feature) -> dict[str, object]:
    return {
        "feature_group": feature.group,
        "name": feature.name,
        "number": feature.number,
        "category": feature.category,
    }


def _code(row: Row[Any], prefix: str) -> Code:
    values = columns(row)
    return Code(**{name: values[f"{prefix}_{name}"] for name in Code.__dataclass_fields__})


def _side(row: Row[Any]) -> Side | None:
    return None if row.side is None else Side(row.side)


def _to_finding(row: Row[Any], measurements: tuple[Measurement, ...]) -> Finding:
    region = None
    if row.region_segment is not None:
        region = Region(segment_number=row.region_segment, series_instance_uid=row.region_series)
    return Finding(
        name=row.name,
        structure=_code(row, "structure"),
        side=_side(row),
        measurements=measurements,
        region=region,
        tracking_uid=row.tracking_uid,
    )


def _to_measurement(row: Row[Any]) -> Measurement:
    return Measurement(
        concept=_code(row, "concept"),
        value=row.value,
        unit=_code(row, "unit"),
        not_measured=row.not_measured,
    )


def _to_segment(row: Row[Any]) -> Segment:
    red, green, blue = row.color
    return Segment(
        number=row.number,
        name=row.name,
        structure=_code(row, "structure"),
        category=_code(row, "category"),
        side=_side(row),
        tracking_uid=row.tracking_uid,
        color=(red, green, blue),
    )
