"""From rows to frozen values."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row


def columns(row: Row[*tuple[Any, ...]]) -> Mapping[Any, Any]:
    """Return the row's values by column name."""
    return row._mapping  # public, in spite of its name


def pick(row: Row[*tuple[Any, ...]], kind: type[Any], *without: str) -> dict[str, Any]:
    """Return the row's values for the fields of the dataclass `kind`, but for `without`."""
    values = columns(row)
    names = kind.__dataclass_fields__
    return {name: values[name] for name in names if name not in without}
