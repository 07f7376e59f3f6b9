"""Which studies a cohort has: a folder, or a list of folders and files."""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from appliance.core.documents import suggest
from appliance.core.errors import BadInstance
from appliance.intake.folder import files_in
from appliance.intake.headers import read_study_uid

COLUMN = "path"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The files of each study, by Study Instance UID, in the order in which studies were met.

    `absent` are places of the list that are not there; `unreadable` is how many files are no DICOM.
    """

    studies: Mapping[str, tuple[Path, ...]]
    absent: tuple[str, ...]
    unreadable: int


def places(source: Path, column: str = COLUMN) -> tuple[Path, ...]:
    """Return the folders and files that `source` names: itself, or one a line of it.

    A CSV file has them in the column of that name. Names are relative to the list's own folder.
    Raises ValueError where the list can't be read as one.
    """
    if source.is_dir():
        return (source,)
    try:
        with source.open(newline="", encoding="utf-8-sig") as file:
            names = _column(file, column) if source.suffix.lower() == ".csv" else list(file)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{source} is neither a folder nor a list of folders: {error}") from None
    written = [name.strip() for name in names]
    return tuple(source.parent / name for name in written if name)


def _column(file: Iterable[str], column: str) -> list[str]:
    rows = csv.DictReader(file)
    known = list(rows.fieldnames or ())
    if column not in known:
        raise ValueError(f"the list has no column {column!r}{suggest(column, known)}")
    return [row[column] or "" for row in rows]


def list_studies(where: Iterable[Path], tell: Callable[[int], None]) -> Listing:
    """Return the studies in these places; `tell` hears how many files were looked at.

    A study may lie in several folders, and a folder may hold several studies.
    """
    studies: dict[str, dict[Path, None]] = {}
    absent: list[str] = []
    seen = unreadable = 0
    for place in where:
        if not place.exists():
            absent.append(str(place))
        for path, uid in _uids(place):
            seen += 1
            if uid is None:
                unreadable += 1
            else:
                studies.setdefault(uid, {})[path] = None
            tell(seen)
    return Listing(
        studies={uid: tuple(paths) for uid, paths in studies.items()},
        absent=tuple(absent),
        unreadable=unreadable,
    )


def _uids(place: Path) -> Iterator[tuple[Path, str | None]]:
    for path in files_in(place):
        try:
            yield path, read_study_uid(path)
        except (BadInstance, OSError):
            yield path, None
