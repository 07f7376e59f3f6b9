"""Sends a folder's DICOM files as a modality would: C-STORE by stock pynetdicom."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID
from pynetdicom import AE
from pynetdicom.association import Association

from appliance.core.errors import PeerError

AE_TITLE = "DEMOSCANNER"
_MAX_CONTEXTS = 128  # PS3.8 section 9.3.2: odd context ids below 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A file that can be sent."""

    path: Path
    study_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str


def find_instances(folder: Path) -> tuple[tuple[Outgoing, ...], tuple[str, ...]]:
    """Return what can be sent from `folder` and below, and a sentence for each file that cannot."""
    files: list[Outgoing] = []
    problems: list[str] = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        try:
            files.append(_outgoing(path))
        except (InvalidDicomError, AttributeError, OSError, ValueError) as error:
            problems.append(f"not sent: {path.name}: {str(error).splitlines()[0]}")
    return tuple(files), tuple(problems)


def _outgoing(path: Path) -> Outgoing:
    dataset = dcmread(
        path, stop_before_pixels=True, specific_tags=["SOPClassUID", "StudyInstanceUID"]
    )
    return Outgoing(
        path=path,
        study_instance_uid=str(dataset.StudyInstanceUID),
        sop_class_uid=str(dataset.SOPClassUID),
        transfer_syntax_uid=str(dataset.file_meta.TransferSyntaxUID),
    )


def send(
    files: tuple[Outgoing, ...], *, port: int, to: str, progress: Callable[[int], None]
) -> Iterator[tuple[Outgoing, str]]:
    """Send `files`; yield each with a sentence if it was refused, else with an empty one.

    Raises PeerError if no association can be had.
    """
    kinds = sorted({(file.sop_class_uid, file.transfer_syntax_uid) for file in files})
    sent = 0
    for start in range(0, len(kinds), _MAX_CONTEXTS):
        batch = set(kinds[start : start + _MAX_CONTEXTS])
        association = _associate(batch, port=port, to=to)
        for file in files:
            if (file.sop_class_uid, file.transfer_syntax_uid) in batch:
                yield file, _send_one(association, file)
                sent += 1
                progress(sent)
        association.release()


def _associate(kinds: set[tuple[str, str]], *, port: int, to: str) -> Association:
    ae = AE(ae_title=AE_TITLE)
    for sop_class, syntax in sorted(kinds):
        ae.add_requested_context(UID(sop_class), UID(syntax))
    association = ae.associate("127.0.0.1", port, ae_title=to)
    if not association.is_established:
        raise PeerError(f"no association with {to} on port {port}")
    return association


def _send_one(association: Association, file: Outgoing) -> str:
    try:
        status = association.send_c_store(file.path)
    except (ValueError, RuntimeError, AttributeError) as error:
        return f"not sent: {file.path.name}: {str(error).splitlines()[0]}"
    if status and status.Status == 0:
        return ""
    answer = f"status {status.Status:04X}H" if status else "no answer"
    return f"refused: {file.path.name}: {answer}"
