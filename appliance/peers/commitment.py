"""The answer to a storage commitment request, as N-EVENT-REPORT. PS3.4 section J.3.3.

In an association of our own, in which we have the role of the provider: the peer may have left
long ago, and need not take the answer in the one in which it asked.
"""

from collections.abc import Iterable

from pydicom.dataset import Dataset
from pynetdicom.presentation import build_context, build_role
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

from appliance.core.errors import PeerError
from appliance.core.model import CommitmentReport, SopReference
from appliance.peers.association import associated
from appliance.peers.node import DicomNode

_ALL_COMMITTED, _SOME_FAILED = 1, 2  # Event Type ID


def report(node: DicomNode, answer: CommitmentReport) -> None:
    """Return when the node said that it has the answer.

    Raises PeerRefused where it says no for good, else PeerError.
    """
    context = build_context(StorageCommitmentPushModel)
    role = build_role(StorageCommitmentPushModel, scp_role=True)
    with associated(node, [context], [role]) as association:
        try:
            status, _ = association.send_n_event_report(
                _information(answer),
                _SOME_FAILED if answer.failed else _ALL_COMMITTED,
                StorageCommitmentPushModel,
                StorageCommitmentPushModelInstance,
            )
        except RuntimeError as error:  # the association has ended
            raise PeerError(f"{node} ended the association before it got the answer") from error
        code = status.get("Status")
        if code is None:
            raise PeerError(f"{node} did not say that it has the answer")
        if code != 0x0000:
            raise PeerError(f"{node} says {code:04X} to the answer of its commitment request")


def _information(answer: CommitmentReport) -> Dataset:
    """Return the Event Information. PS3.4 table J.3-3."""
    found = Dataset()
    found.TransactionUID = answer.transaction_uid
    if answer.committed:
        found.ReferencedSOPSequence = _items(answer.committed)
    if answer.failed:
        found.FailedSOPSequence = _items(reference for reference, _ in answer.failed)
        for item, (_, reason) in zip(found.FailedSOPSequence, answer.failed, strict=True):
            item.FailureReason = int(reason)
    return found


def _items(references: Iterable[SopReference]) -> list[Dataset]:
    items = []
    for reference in references:
        item = Dataset()
        item.ReferencedSOPClassUID = reference.sop_class_uid
        item.ReferencedSOPInstanceUID = reference.sop_instance_uid
        items.append(item)
    return items
