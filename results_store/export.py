"""Findings, feedback and system times as CSV and Parquet, of one moment, while everything runs."""

import csv
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from appliance.core.errors import StoreError
from results_store.sheets import COUNT, FLAG, MOMENT, NUMBER, TEXT, Sheet, sheets
from results_store.store import Store

Format = Literal["csv", "parquet"]
_BATCH = 2000
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_ARROW = {
    TEXT: pa.string(),
    NUMBER: pa.float64(),
    COUNT: pa.int64(),
    MOMENT: pa.timestamp("us", tz="UTC"),
    FLAG: pa.bool_(),
}

Batch = list[Mapping[str, Any]]


class _Writer(Protocol):
    """Appends rows to one file."""

    def write(self, batch: Batch) -> None: ...


def export(
    store: Store, folder: Path, formats: tuple[Format, ...] = ("csv", "parquet")
) -> tuple[Path, ...]:
    """Return the files written into `folder`, which replace older ones. Raises StoreError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with store.database.snapshot() as connection:
            streamed = connection.execution_options(yield_per=_BATCH)
            written: list[Path] = []
            for sheet in sheets():
                files = {format_: folder / f"{sheet.name}.{format_}" for format_ in formats}
                with _open_all(sheet, files) as writers:
                    for batch in _batches(sheet, streamed.execute(sheet.query).partitions()):
                        for writer in writers:
                            writer.write(batch)
                written += files.values()
            return tuple(written)
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror or error}") from error


def _batches(sheet: Sheet, partitions: Any) -> Iterator[Batch]:
    for rows in partitions:
        yield [
            {name: values[name] for name in sheet.fields}
            for row in rows
            for values in sheet.spread(row)
        ]


@contextmanager
def _open_all(sheet: Sheet, files: Mapping[Format, Path]) -> Iterator[list[_Writer]]:
    """Yield writers into hidden files that get their names only when all is written."""
    parts = {kind: file.with_name(f".{file.name}.part") for kind, file in files.items()}
    with ExitStack() as stack:
        yield [stack.enter_context(_OPENERS[kind](sheet, part)) for kind, part in parts.items()]
    for kind, part in parts.items():
        part.replace(files[kind])


class _CsvWriter:
    def __init__(self, lines: "csv.DictWriter[str]") -> None:
        self._lines = lines

    def write(self, batch: Batch) -> None:
        for row in batch:
            self._lines.writerow({name: _as_text(value) for name, value in row.items()})


class _ParquetWriter:
    def __init__(self, table: "pq.ParquetWriter", schema: "pa.Schema") -> None:
        self._table = table
        self._schema = schema

    def write(self, batch: Batch) -> None:
        self._table.write_table(pa.Table.from_pylist(batch, schema=self._schema))


@contextmanager
def _open_csv(sheet: Sheet, path: Path) -> Iterator[_Writer]:
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.DictWriter(file, fieldnames=list(sheet.fields))
        lines.writeheader()
        yield _CsvWriter(lines)


@contextmanager
def _open_parquet(sheet: Sheet, path: Path) -> Iterator[_Writer]:
    schema = pa.schema([(name, _ARROW[kind]) for name, kind in sheet.fields.items()])
    with pq.ParquetWriter(path, schema) as table:
        yield _ParquetWriter(table, schema)


_OPENERS: Mapping[Format, Callable[[Sheet, Path], AbstractContextManager[_Writer]]] = {
    "csv": _open_csv,
    "parquet": _open_parquet,
}


def _as_text(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    # A spreadsheet would run a reader's free text that begins like a formula.
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
