"""C-STORE of Part 10 files: each data set byte for byte, in its own transfer syntax.

Nothing is decoded or encoded again: the destination gets what lies in the file, or the answer is
that it does not take it. PS3.4 annex B.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pynetdicom import _config
from pynetdicom.presentation import PresentationContext, build_context

from appliance.core.errors import BadInstance, PeerError
from appliance.peers.association import associated
from appliance.peers.node import DicomNode
from appliance.peers.status import NO_ANSWER, NOT_NEGOTIATED, Verdict, meaning_of

if TYPE_CHECKING:
    from pynetdicom.association import Association

_MAX_CONTEXTS = 128  # PS3.8 section 9.3.2: context identifiers are the odd numbers to 255

# Of pynetdicom, for this process: a path is sent as the bytes that lie in it, in pieces, instead
# of being decoded and encoded again. Nothing else here ever sends.
_config.STORE_SEND_CHUNKED_DATASET = True


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOutcome:
    """What became of one file. `status` is the DIMSE status, or -1 where none came."""

    path: Path
    status: int
    accepted: bool
    retry: bool
    comment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str

    @property
    def context(self) -> tuple[str, str]:
        return self.sop_class_uid, self.transfer_syntax_uid


def send(node: DicomNode, paths: Sequence[Path]) -> tuple[StoreOutcome, ...]:
    """Return one outcome a path, in their order.

    Raises PeerError where no association was made at all, BadInstance where a path is no DICOM
    file (before anything is sent).
    """
    files = [_read(path) for path in paths]
    outcomes: dict[Path, StoreOutcome] = {}
    for group in _groups(files):
        try:
            outcomes |= _send_group(node, group)
        except PeerError:
            if not outcomes:
                raise
            outcomes |= {file.path: _outcome(file, NO_ANSWER) for file in group}
    return tuple(outcomes[path] for path in paths)


def _read(path: Path) -> _File:
    try:
        meta = read_file_meta_info(path)
        return _File(
            path=path,
            sop_class_uid=str(meta.MediaStorageSOPClassUID),
            sop_instance_uid=str(meta.MediaStorageSOPInstanceUID),
            transfer_syntax_uid=str(meta.TransferSyntaxUID),
        )
    except (OSError, InvalidDicomError, AttributeError, ValueError) as error:
        raise BadInstance(f"{path} is no DICOM file that can be sent: {error}") from error


def _groups(files: Sequence[_File]) -> Iterator[list[_File]]:
    """Yield runs of files that need no more contexts than one association can have."""
    group: list[_File] = []
    contexts: set[tuple[str, str]] = set()
    for file in files:
        if len(contexts | {file.context}) > _MAX_CONTEXTS:
            yield group
            group, contexts = [], set()
        group.append(file)
        contexts.add(file.context)
    if group:
        yield group


def _send_group(node: DicomNode, group: Sequence[_File]) -> dict[Path, StoreOutcome]:
    outcomes: dict[Path, StoreOutcome] = {}
    with associated(node, _contexts(group)) as association:
        accepted = {
            (str(cx.abstract_syntax), str(cx.transfer_syntax[0]))
            for cx in association.accepted_contexts
        }
        is_lost = False
        for number, file in enumerate(group, 1):
            outcome = (
                _outcome(file, NO_ANSWER)
                if is_lost
                else _send_file(association, file, accepted, number)
            )
            outcomes[file.path] = outcome
            is_lost = outcome.status == NO_ANSWER
    return outcomes


def _contexts(group: Sequence[_File]) -> list[PresentationContext]:
    # One syntax a context, so that the answer says of each syntax whether it is taken.
    wanted = dict.fromkeys(file.context for file in group)
    return [build_context(sop_class, syntax) for sop_class, syntax in wanted]


def _send_file(
    association: "Association", file: _File, accepted: Collection[tuple[str, str]], number: int
) -> StoreOutcome:
    if file.context not in accepted:
        return _outcome(file, NOT_NEGOTIATED)
    try:
        answer = association.send_c_store(file.path, msg_id=number % 65_536)
    except RuntimeError:  # the association has ended
        return _outcome(file, NO_ANSWER)
    comment = str(answer.get("ErrorComment") or "")
    return _outcome(file, int(answer.get("Status", NO_ANSWER)), comment)


def _outcome(file: _File, status: int, comment: str = "") -> StoreOutcome:
    meaning = meaning_of(status)
    text = f"{meaning.text}: {comment}" if comment else meaning.text
    return StoreOutcome(
        path=file.path,
        status=status,
        accepted=meaning.verdict is Verdict.ACCEPTED,
        retry=meaning.verdict is Verdict.RETRY,
        comment=text,
    )
