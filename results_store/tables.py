"""Rows into CSV and Parquet files that get their names only when all is written."""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

TEXT, NUMBER, COUNT, MOMENT, FLAG = "text", "number", "count", "moment", "flag"

Format = Literal["csv", "parquet"]
Fields = Mapping[str, str]
"""The kind of each column, TEXT to FLAG, by its name."""

Batch = Sequence[Mapping[str, Any]]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_ARROW = {
    TEXT: pa.string(),
    NUMBER: pa.float64(),
    COUNT: pa.int64(),
    MOMENT: pa.timestamp("us", tz="UTC"),
    FLAG: pa.bool_(),
}


class Writer(Protocol):
    """Appends rows to one file."""

    def write(self, batch: Batch) -> None: ...


@contextmanager
def open_tables(fields: Fields, files: Mapping[Format, Path]) -> Iterator[list[Writer]]:
    """Yield writers into hidden files that get their names only when all is written."""
    parts = {kind: file.with_name(f".{file.name}.part") for kind, file in files.items()}
    with ExitStack() as stack:
        yield [stack.enter_context(_OPENERS[kind](fields, part)) for kind, part in parts.items()]
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
        self._table.write_table(pa.Table.from_pylist(list(batch), schema=self._schema))


@contextmanager
def _open_csv(fields: Fields, path: Path) -> Iterator[Writer]:
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.DictWriter(file, fieldnames=list(fields))
        lines.writeheader()
        yield _CsvWriter(lines)


@contextmanager
def _open_parquet(fields: Fields, path: Path) -> Iterator[Writer]:
    schema = pa.schema([(name, _ARROW[kind]) for name, kind in fields.items()])
    with pq.ParquetWriter(path, schema) as table:
        yield _ParquetWriter(table, schema)


_OPENERS: Mapping[Format, Callable[[Fields, Path], AbstractContextManager[Writer]]] = {
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
