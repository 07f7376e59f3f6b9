"""Findings, feedback and system times as CSV and Parquet, of one moment, while everything runs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from appliance.core.errors import StoreError
from results_store.sheets import Sheet, sheets
from results_store.store import Store
from results_store.tables import Batch, Format, open_tables

_BATCH = 2000


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
                with open_tables(sheet.fields, files) as writers:
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
