"""Storage commitment, push model, as provider: the request. PS3.4 annex J, PS3.3 section C.14.

Here it is only read, kept and answered. Intake looks whether the instances are here, and reports
in an association of its own: the peer may have left by then.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

from appliance.core.model import SopReference
from scp.announcing import Desk
from scp.command import N_ACTION_RQ
from scp.elements import NStatus, Unacceptable, items_of, parse, uid_of
from scp.services import Message, Reply

STORAGE_COMMITMENT = str(StorageCommitmentPushModel)
INSTANCE = str(StorageCommitmentPushModelInstance)  # of this class there is one, everywhere
_REQUEST = 1  # Action Type ID, PS3.4 table J.3-1

REFUSALS: Mapping[NStatus, str] = {
    NStatus.NOT_AUTHORISED: "storage commitment is not for this AE title",
    NStatus.NO_SUCH_INSTANCE: "not the well-known SOP Instance",
    NStatus.NO_SUCH_ACTION: "the one action is 1, request storage commitment",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentRequest:
    """What a peer asks for, and the UID by which it knows the answer."""

    transaction_uid: str
    references: tuple[SopReference, ...]


class StorageCommitment:
    """Takes requests of the peers that may ask, by AE title."""

    sop_class_uids: tuple[str, ...] = (STORAGE_COMMITMENT,)
    operations: frozenset[int] = frozenset({N_ACTION_RQ})

    def __init__(self, desk: Desk, ae_titles: Collection[str]) -> None:
        self._desk = desk
        self._ae_titles = frozenset(ae_titles)

    def answer(self, message: Message) -> Reply:
        """Return the reply; after success the request is a notice."""
        return self._desk.answer(message, self._keep)

    def _keep(self, message: Message) -> Reply:
        command = message.command
        if message.caller.calling_ae_title not in self._ae_titles:
            return _refused(NStatus.NOT_AUTHORISED)
        if command.sop_instance_uid != INSTANCE:
            return _refused(NStatus.NO_SUCH_INSTANCE)
        if command.action_type_id != _REQUEST:
            return _refused(NStatus.NO_SUCH_ACTION)
        requested(message.data_set, message.transfer_syntax_uid)
        self._desk.keep(message)
        return Reply(status=NStatus.SUCCESS)


def _refused(status: NStatus) -> Reply:
    return Reply(status=status, comment=REFUSALS[status])


def requested(data_set: bytes, transfer_syntax_uid: str) -> CommitmentRequest:
    """Return the request that the data set holds. Raises Unacceptable. PS3.4 table J.3-2."""
    try:
        dataset = parse(data_set, transfer_syntax_uid)
        request = CommitmentRequest(
            transaction_uid=uid_of(dataset, "TransactionUID"),
            references=tuple(
                SopReference(
                    sop_class_uid=uid_of(item, "ReferencedSOPClassUID"),
                    sop_instance_uid=uid_of(item, "ReferencedSOPInstanceUID"),
                )
                for item in items_of(dataset, "ReferencedSOPSequence")
            ),
        )
    except Unacceptable as fault:
        if fault.status is NStatus.RESOURCES:
            raise
        # PS3.7 section 10.1.4.1.10: an action has arguments, not attributes.
        raise Unacceptable(NStatus.INVALID_ARGUMENT, fault.comment) from None
    if not request.references:
        raise Unacceptable(NStatus.INVALID_ARGUMENT, "ReferencedSOPSequence names nothing")
    return request
