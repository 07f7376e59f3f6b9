"""Studies in a folder that was never received; for `appliance explain FOLDER`."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from appliance.core.errors import BadInstance
from appliance.core.model import StudySummary
from appliance.intake.headers import Header, read_header, study_summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """What lies in a folder: its studies, and the files that say nothing, with the reason."""

    studies: tuple[StudySummary, ...]
    problems: tuple[tuple[str, str], ...]  # path inside the folder, why


def study_from_folder(folder: Path, attributes: Iterable[str]) -> Folder:
    """Return the studies in the folder (or the one file) and everything below it.

    Files that are no DICOM instance become problems; our own results and second copies of an
    instance are left out, as they are when received.
    """
    wanted = frozenset(attributes)
    headers: dict[str, dict[str, Header]] = {}
    problems: list[tuple[str, str]] = []
    for path in _files(folder):
        name = path.relative_to(folder).as_posix() if path != folder else path.name
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
        known.setdefault(header.summary.sop_instance_uid, header)
    return Folder(
        studies=tuple(study_summary(uid, headers[uid].values()) for uid in sorted(headers)),
        problems=tuple(problems),
    )


def _files(folder: Path) -> list[Path]:
    if folder.is_file():
        return [folder]
    return sorted(path for path in folder.rglob("*") if path.is_file())
