"""The answer to a storage commitment request, to nodes that take it and nodes that do not."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage
from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification

from appliance.core.errors import PeerError, PeerRefused
from appliance.core.model import CommitmentFailure, CommitmentReport, SopReference
from appliance.peers import DicomClient, DicomNode
from tests.counterparts import HOST, free_port

ONE = SopReference(sop_class_uid=MRImageStorage, sop_instance_uid="1.2.3")
OTHER = SopReference(sop_class_uid=MRImageStorage, sop_instance_uid="1.2.4")
ALL = CommitmentReport(transaction_uid="1.9", committed=(ONE, OTHER), failed=())


@contextmanager
def modality(
    takes: Callable[[Any], tuple[int, Dataset | None]],
    *,
    sop_class: str = StorageCommitmentPushModel,
) -> Iterator[DicomClient]:
    entity = AE("MR01")
    entity.add_supported_context(sop_class, scu_role=False, scp_role=True)
    handlers = [(evt.EVT_N_EVENT_REPORT, takes)]
    server = entity.start_server((HOST, 0), block=False, evt_handlers=handlers)
    try:
        yield client(int(server.socket.getsockname()[1]))
    finally:
        entity.shutdown()


def client(port: int) -> DicomClient:
    return DicomClient(
        DicomNode(
            name="peer MR01",
            ae_title="MR01",
            host=HOST,
            port=port,
            calling_ae_title="APPLIANCE",
            timeout=timedelta(seconds=5),
        )
    )


def test_the_answer_comes_in_an_association_in_which_we_are_the_provider() -> None:
    seen: list[Any] = []

    def takes(event: Any) -> tuple[int, None]:
        roles = event.assoc.requestor.role_selection
        seen.append((event.event_type, event.event_information, roles, event.assoc.requestor))
        return 0x0000, None

    with modality(takes) as peer:
        peer.report_commitment(ALL)
        failed = CommitmentReport(
            transaction_uid="1.10",
            committed=(ONE,),
            failed=((OTHER, CommitmentFailure.NO_SUCH_INSTANCE),),
        )
        peer.report_commitment(failed)

    (first, all_here, roles, requestor), (second, some, _, _) = seen
    assert (first, second) == (1, 2)
    assert requestor.ae_title == "APPLIANCE"
    role = roles[StorageCommitmentPushModel]
    assert (role.scu_role, role.scp_role) == (False, True)
    assert all_here.TransactionUID == "1.9"
    assert [i.ReferencedSOPInstanceUID for i in all_here.ReferencedSOPSequence] == [
        "1.2.3",
        "1.2.4",
    ]
    assert "FailedSOPSequence" not in all_here
    (item,) = some.FailedSOPSequence
    assert (item.ReferencedSOPInstanceUID, item.FailureReason) == ("1.2.4", 0x0112)
    assert [i.ReferencedSOPInstanceUID for i in some.ReferencedSOPSequence] == ["1.2.3"]


@pytest.mark.parametrize("status", [0x0110, 0x0112])
def test_an_answer_that_was_not_taken_is_worth_another_attempt(status: int) -> None:
    with (
        modality(lambda _: (status, None)) as peer,
        pytest.raises(PeerError, match=f"{status:04X}"),
    ):
        peer.report_commitment(ALL)


def test_a_node_that_breaks_off_has_not_got_the_answer() -> None:
    def aborts(event: Any) -> tuple[int, None]:
        event.assoc.abort()
        return 0x0000, None

    with modality(aborts) as peer, pytest.raises(PeerError, match="MR01"):
        peer.report_commitment(ALL)


def test_a_node_that_takes_no_answers_or_is_off_is_told_by_name() -> None:
    with (
        modality(lambda _: (0, None), sop_class=Verification) as peer,
        pytest.raises(PeerRefused, match="does not offer Storage Commitment"),
    ):
        peer.report_commitment(ALL)
    with pytest.raises(PeerError, match="does not answer"):
        client(free_port()).report_commitment(ALL)
