"""C-MOVE and C-GET of a series or of some of its instances. PS3.4 annex C.4.2 and C.4.3.

With C-MOVE the node calls our receiver. With C-GET it sends on the association on which we asked:
each data set goes on to a shelf as it comes, byte for byte, and is never held or decoded here.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.presentation import build_context, build_role
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from appliance.core.errors import PeerRefused
from appliance.core.uids import is_usable_uid
from appliance.peers.association import associated
from appliance.peers.node import DicomNode
from appliance.peers.status import NO_ANSWER, RETRIEVE_MEANINGS, Verdict, meaning_of

if TYPE_CHECKING:
    from pynetdicom.association import Association

_PENDING = (0xFF00, 0xFF01)
_LONGEST_IDENTIFIER = 4 * 1024**2  # of a response; a list of 60,000 UIDs
MOST_OFFERED = 127  # presentation contexts beside the query's own
_PATIENCE = 600.0  # seconds between two answers: archives on tape take minutes
_PROCESSING_FAILURE = 0x0110
_UNREADABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A series, or only some of its instances."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SubOperations:
    """How far a retrieve has come, as the node counts."""

    remaining: int
    completed: int  # with or without a warning
    failed: int


Progress = Callable[[SubOperations], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieved:
    """How a retrieve ended. `failed_uids` are the instances that the node names, if it does."""

    status: int  # of the last answer, or NO_ANSWER
    verdict: Verdict
    text: str
    completed: int
    failed: int
    failed_uids: tuple[str, ...]


class Slot(Protocol):
    """Where one instance of a C-GET goes."""

    def write(self, fragment: bytes | memoryview) -> None:
        """Take a piece of the data set; must not raise."""

    def finish(self) -> int:
        """Return the status of the C-STORE (PS3.4 B.2.3) when the instance is kept, or not."""

    def discard(self) -> None:
        """Keep nothing: the rest will not come."""


class Shelf(Protocol):
    """Where the instances of a C-GET go. Called in the association's own thread."""

    def begin(self, sop_class: str, sop_instance: str, transfer_syntax: str) -> Slot:
        """Return the slot of the next instance; must not raise."""


def move(node: DicomNode, wanted: Wanted, progress: Progress) -> Retrieved:
    """Let the node send what is wanted to the AE title under which we call it.

    Raises PeerRefused where it offers no C-MOVE, else PeerError where there is no association.
    """
    model, identifier = StudyRootQueryRetrieveInformationModelMove, _identifier(wanted)
    with associated(node, [build_context(model)]) as association:
        association.dimse_timeout = _PATIENCE
        answers = association.send_c_move(identifier, node.calling_ae_title, model)
        return _follow(node, answers, progress)


def get(
    node: DicomNode,
    wanted: Wanted,
    offer: Sequence[tuple[str, str]],
    shelf: Shelf,
    progress: Progress,
) -> Retrieved:
    """Fetch what is wanted. `offer` has (SOP Class UID, transfer syntax UID), the dearest first.

    Raises PeerRefused where the node offers no C-GET, else PeerError where there is no association.
    """
    model, identifier = StudyRootQueryRetrieveInformationModelGet, _identifier(wanted)
    # One syntax a context: else the node would choose one before it knows what it has, and
    # encode anew what it has in another.
    contexts = [build_context(uid, [syntax]) for uid, syntax in offer[:MOST_OFFERED]]
    classes = dict.fromkeys(uid for uid, _ in offer[:MOST_OFFERED])
    roles = [build_role(uid, scp_role=True) for uid in classes]
    with associated(node, [build_context(model), *contexts], roles) as association:
        if not any(cx.abstract_syntax == model for cx in association.accepted_contexts):
            raise PeerRefused(f"{node} offers no C-GET (Study Root); write `retrieve: move`")
        stream = _Streaming(association, shelf)
        association.dimse = stream
        association.dimse_timeout = _PATIENCE
        association.bind(evt.EVT_C_STORE, stream.answer)
        try:
            return _follow(node, association.send_c_get(identifier, model), progress)
        finally:
            stream.close()


def _identifier(wanted: Wanted) -> Dataset:
    uids = (wanted.study_instance_uid, wanted.series_instance_uid, *wanted.sop_instance_uids)
    if not all(map(is_usable_uid, uids)):
        raise ValueError("not a UID")
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "IMAGE" if wanted.sop_instance_uids else "SERIES"
    identifier.StudyInstanceUID = wanted.study_instance_uid
    identifier.SeriesInstanceUID = wanted.series_instance_uid
    if wanted.sop_instance_uids:
        identifier.SOPInstanceUID = list(wanted.sop_instance_uids)
    return identifier


def _follow(
    node: DicomNode, answers: Iterable[tuple[Dataset, Dataset | None]], progress: Progress
) -> Retrieved:
    """Return how it ended, which the last answer tells."""
    code, counts = NO_ANSWER, SubOperations(remaining=0, completed=0, failed=0)
    failed: tuple[str, ...] = ()
    for status, identifier in answers:
        code = int(status.get("Status", NO_ANSWER))
        counts = _counts(status, counts)
        if code in _PENDING:
            progress(counts)
        elif identifier is not None:
            failed = _failed_uids(identifier)
    row = meaning_of(code, RETRIEVE_MEANINGS)
    verdict = row.verdict
    if verdict is Verdict.ACCEPTED and counts.failed:
        verdict = Verdict.RETRY  # some say success all the same
    text = row.text.format(ours=node.calling_ae_title)
    shown = "" if code == NO_ANSWER else f" (status {code:04X})"
    return Retrieved(
        status=code,
        verdict=verdict,
        text=f"{node}: {text}{shown}",
        completed=counts.completed,
        failed=max(counts.failed, len(failed)),
        failed_uids=failed,
    )


def _counts(status: Dataset, before: SubOperations) -> SubOperations:
    def number(kind: str) -> int | None:
        value = status.get(f"NumberOf{kind}Suboperations")
        return value if isinstance(value, int) else None

    completed, warned, failed = number("Completed"), number("Warning"), number("Failed")
    said = completed is not None
    return SubOperations(
        remaining=number("Remaining") or 0,
        completed=(completed or 0) + (warned or 0) if said else before.completed,
        failed=before.failed if failed is None else failed,
    )


def _failed_uids(identifier: Dataset) -> tuple[str, ...]:
    value: Any = identifier.get("FailedSOPInstanceUIDList") or ()
    uids = (value,) if isinstance(value, str) else tuple(map(str, value))
    return tuple(dict.fromkeys(filter(is_usable_uid, uids)))


class _Streaming(DIMSEServiceProvider):
    """Takes the data sets out of the messages before the library collects them in memory."""

    def __init__(self, association: "Association", shelf: Shelf) -> None:
        super().__init__(association)
        self._shelf = shelf
        self._slot: Slot | None = None
        self._whole: deque[Slot] = deque()  # in the order in which they will be answered
        self._collected = 0
        self._syntaxes = {
            cx.context_id: str(cx.transfer_syntax[0]) for cx in association.accepted_contexts
        }

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take one P-DATA-TF, in the thread that reads."""
        try:
            self._receive(primitive)
        except _UNREADABLE:  # else the thread would end, and we wait for nobody
            self._abort()

    def _abort(self) -> None:
        self.dul.event_queue.put("Evt19")  # invalid PDU: A-ABORT (PS3.8 table 9-10)

    def _receive(self, primitive: P_DATA) -> None:
        for context_id, fragment in primitive.presentation_data_value_list:
            if self._slot is not None and not fragment[0] & 1:
                self._take(self._slot, context_id, fragment)
            else:
                self._pass_on(context_id, fragment)

    def _take(self, slot: Slot, context_id: int, fragment: bytes) -> None:
        slot.write(memoryview(fragment)[1:])
        if fragment[0] & 2:
            self._slot = None
            self._whole.append(slot)
            self._pass_on(context_id, b"\2")  # for the library, its data set is empty

    def _pass_on(self, context_id: int, fragment: bytes) -> None:
        self._collected += len(fragment)
        if self._collected > _LONGEST_IDENTIFIER:
            self._abort()
            return
        part = P_DATA()
        part.presentation_data_value_list = [[context_id, fragment]]
        super().receive_primitive(part)
        if self.message is None:
            self._collected = 0
        elif fragment[0] & 3 == 3 and isinstance(self.message, C_STORE_RQ):
            self._slot = self._begin(context_id, self.message.command_set)

    def _begin(self, context_id: int, command: Dataset) -> Slot:
        return self._shelf.begin(
            str(command.get("AffectedSOPClassUID") or ""),
            str(command.get("AffectedSOPInstanceUID") or ""),
            self._syntaxes.get(context_id, ""),
        )

    def answer(self, _event: evt.Event) -> int:
        """Return the status of the sub-operation whose turn it is."""
        return self._whole.popleft().finish() if self._whole else _PROCESSING_FAILURE

    def close(self) -> None:
        """Drop what did not come to its end."""
        if self._slot is not None:
            self._slot.discard()
        while self._whole:
            self._whole.popleft().discard()
