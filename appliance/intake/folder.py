"""Studies in a folder that was never received: for `explain`, and to try a pipeline on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from appliance.core.errors import BadInstance
from appliance.core.model import StudySummary
from appliance.intake.headers import Header, read_header, study_summary

InstanceKey = tuple[str, str]
"""Study Instance UID and SOP Instance UID."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """What lies in a folder: its studies, and the files that say nothing, with the reason."""

    studies: tuple[StudySummary, ...]
    problems: tuple[tuple[str, str], ...]  # path inside the folder, why
    paths: Mapping[InstanceKey, Path]


def study_from_folder(folder: Path, attributes: Iterable[str]) -> Folder:
    """Return the studies in the folder (or the one file) and everything below it.

    Files that are no DICOM instance become problems; our own results and second copies of an
    instance are left out, as they are when received.
    """
    return studies_of(files_in(folder), attributes, below=folder)


def studies_of(
    files: Iterable[Path], attributes: Iterable[str], *, below: Path | None = None
) -> Folder:
    """Return the studies in these files, which are named as they lie in the folder `below`.

    Without it, by their names alone.
    """
    wanted = frozenset(attributes)
    headers: dict[str, dict[str, Header]] = {}
    paths: dict[InstanceKey, Path] = {}
    problems: list[tuple[str, str]] = []
    for path in files:
        name = path.name if below in (None, path) else path.relative_to(below).as_posix()
        try:
            header = read_header(path, wanted)
        except (BadInstance, OSError) as error:
            problems.append((name, str(error)))
            continue
        if header.is_own:
            problems.append((name, "made by this appliance: never routed"))
            continue
        known = headers.setdefault(header.study_instance_uid, {})
        if header.summary.sop_instance_uid in known:
            problems.append((name, "a second copy of an instance"))
            continue
        known[header.summary.sop_instance_uid] = header
        paths[header.study_instance_uid, header.summary.sop_instance_uid] = path
    return Folder(
        studies=tuple(study_summary(uid, headers[uid].values()) for uid in sorted(headers)),
        problems=tuple(problems),
        paths=paths,
    )


def files_in(folder: Path) -> list[Path]:
    """Return the files in the folder and below it, sorted; a file is a folder of itself."""
    if folder.is_file():
        return [folder]
    return sorted(path for path in folder.rglob("*") if path.is_file())
