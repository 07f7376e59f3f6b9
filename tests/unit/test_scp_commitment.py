"""Storage commitment requests: what is refused, what is kept, with the statuses of PS3.7."""

from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, MRImageStorage

from appliance.core.clock import SystemClock
from appliance.core.model import SopReference
from scp.announcing import Desk
from scp.association import Caller
from scp.command import N_ACTION_RQ, Command
from scp.commitment import INSTANCE, STORAGE_COMMITMENT, StorageCommitment, requested
from scp.elements import MOST_ITEMS, NStatus
from scp.notices import Notices
from scp.services import Message, Reply
from tests.announcements import encoded
from tests.commitments import request


def ask(
    root: Path,
    data: bytes,
    *,
    calling: str = "MR01",
    syntax: str = ImplicitVRLittleEndian,
    **odd: Any,
) -> Reply:
    command = {
        "field": N_ACTION_RQ,
        "message_id": 1,
        "has_data_set": True,
        "sop_class_uid": STORAGE_COMMITMENT,
        "sop_instance_uid": INSTANCE,
        "action_type_id": 1,
        **odd,
    }
    desk = Desk(Notices(root), SystemClock(), lambda: None)
    caller = Caller(calling_ae_title=calling, called_ae_title="APPLIANCE", address="127.0.0.1")
    service = StorageCommitment(desk, ["MR01"])
    return service.answer(
        Message(
            caller=caller, command=Command(**command), transfer_syntax_uid=syntax, data_set=data
        )
    )


def test_a_request_is_durable_when_it_is_answered_and_says_the_same_when_it_is_read(
    tmp_path: Path,
) -> None:
    data = encoded(request("1.2.3", "1.2.4", transaction="1.9"), implicit=False)
    assert ask(tmp_path, data, syntax=ExplicitVRLittleEndian).status == NStatus.SUCCESS
    notices = Notices(tmp_path)
    (name,) = notices.names()
    notice, kept = notices.read(name)
    found = requested(kept, notice.transfer_syntax_uid)
    assert found.transaction_uid == "1.9"
    assert found.references == tuple(
        SopReference(sop_class_uid=MRImageStorage, sop_instance_uid=uid)
        for uid in ("1.2.3", "1.2.4")
    )
    assert notice.calling_ae_title == "MR01"


def without(keyword: str) -> Dataset:
    dataset = request("1.2.3")
    delattr(dataset, keyword)
    return dataset


def bad_uid() -> Dataset:
    dataset = request("1.2.3")
    dataset.ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "1.2.3"
    dataset.TransactionUID = "../../etc"
    return dataset


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"calling": "STRANGER"}, NStatus.NOT_AUTHORISED),
        ({"sop_instance_uid": "1.2.3"}, NStatus.NO_SUCH_INSTANCE),
        ({"sop_instance_uid": "../x"}, NStatus.INVALID_INSTANCE),
        ({"action_type_id": 2}, NStatus.NO_SUCH_ACTION),
        ({"action_type_id": None}, NStatus.NO_SUCH_ACTION),
    ],
)
def test_what_is_not_offered_is_refused_and_not_kept(
    tmp_path: Path, changes: dict[str, Any], status: NStatus
) -> None:
    assert ask(tmp_path, encoded(request("1.2.3")), **changes).status == status
    assert Notices(tmp_path).names() == ()


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@pytest.mark.parametrize(
    "make",
    [
        lambda: encoded(without("TransactionUID")),
        lambda: encoded(without("ReferencedSOPSequence")),
        lambda: encoded(request()),
        lambda: encoded(bad_uid()),
        lambda: encoded(request("1.2.3"))[:-7],
        lambda: b"",
        lambda: b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_a_request_that_names_nothing_usable_is_an_invalid_argument(
    tmp_path: Path, make: Any
) -> None:
    reply = ask(tmp_path, make())
    assert reply.status == NStatus.INVALID_ARGUMENT
    assert 0 < len(reply.comment) <= 64
    assert Notices(tmp_path).names() == ()


def test_a_request_about_more_than_can_be_read_is_out_of_resources(tmp_path: Path) -> None:
    assert ask(tmp_path, b"\xfe\xff\x00\xe0" * (MOST_ITEMS + 1)).status == NStatus.RESOURCES
