"""What lies in quarantine, and why: `<name>.dcm` or `.part` with `<name>.txt` (see `scp.spool`)."""

import mmap
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from appliance.core.errors import BadInstance
from scp import filemeta
from scp.head import MalformedDataSet, identify

_NEWEST = 1000
_LONGEST_REASON = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """One file of no use. What it does not tell is ""; then the time is the file's own."""

    name: str
    reason: str
    study_instance_uid: str = ""
    sop_instance_uid: str = ""
    calling_ae_title: str = ""
    peer_address: str = ""
    received_at: datetime


def read_quarantine(root: Path) -> tuple[Quarantined, ...]:
    """Return the newest 1000 images in quarantine of the spool under `root`, newest first."""
    found = []
    for path in (root / "quarantine").iterdir():
        if path.suffix not in (".dcm", ".part"):
            continue
        try:
            found.append((path.stat().st_mtime, path))
        except FileNotFoundError:
            continue  # somebody cleared it away just now
    return tuple(_read(path, at) for at, path in sorted(found, reverse=True)[:_NEWEST])


def _read(path: Path, written_at: float) -> Quarantined:
    reason = _reason(path.with_suffix(".txt"))
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
            provenance, start = filemeta.decode(data)
            return Quarantined(
                name=path.stem,
                reason=reason,
                study_instance_uid=_study(data, start, provenance.transfer_syntax_uid),
                sop_instance_uid=provenance.sop_instance_uid,
                calling_ae_title=provenance.calling_ae_title,
                peer_address=provenance.peer_address,
                received_at=provenance.received_at,
            )
    except (BadInstance, ValueError, OSError):  # an empty file cannot be mapped
        when = datetime.fromtimestamp(written_at, UTC)
        return Quarantined(name=path.stem, reason=reason, received_at=when)


def _study(data: mmap.mmap, start: int, transfer_syntax_uid: str) -> str:
    try:
        return identify(data, start, transfer_syntax_uid).study_instance_uid
    except MalformedDataSet:
        return ""


def _reason(path: Path) -> str:
    try:
        return path.read_text(errors="replace")[:_LONGEST_REASON].strip()
    except OSError:
        return "no reason was written down"
