"""Command sets, as the standard's other implementation reads and writes them."""

from io import BytesIO

from pydicom.dataset import Dataset
from pynetdicom.dsutils import decode, encode

from scp.command import N_ACTION_RQ, Command, encode_response, parse


def test_a_request_on_something_that_exists_names_it_by_its_requested_uids() -> None:
    ask = Dataset()
    ask.CommandField = N_ACTION_RQ
    ask.RequestedSOPClassUID = "1.2.840.10008.1.20.1"
    ask.RequestedSOPInstanceUID = "1.2.840.10008.1.20.1.1"
    ask.MessageID = 7
    ask.CommandDataSetType = 1
    ask.ActionTypeID = 1

    command = parse(encode(ask, is_implicit_vr=True, is_little_endian=True) or b"")

    assert command.sop_class_uid == "1.2.840.10008.1.20.1"
    assert command.sop_instance_uid == "1.2.840.10008.1.20.1.1"
    assert command.action_type_id == 1


def test_a_response_is_read_by_others_as_it_was_meant() -> None:
    command = Command(
        field=1, message_id=7, has_data_set=True, sop_class_uid="1.2", sop_instance_uid="1.3"
    )
    data = encode_response(
        command, 0xA900, comment="no" * 40, sop_class_uid="1.2.3", sop_instance_uid="1.2.34"
    )

    answer = decode(BytesIO(data), is_implicit_vr=True, is_little_endian=True)

    assert answer.CommandGroupLength == len(data) - 12
    assert answer.CommandField == 0x8001
    assert answer.MessageIDBeingRespondedTo == command.message_id
    assert answer.CommandDataSetType == 0x0101
    assert (answer.Status, answer.ErrorComment) == (0xA900, "no" * 32)
    assert (answer.AffectedSOPClassUID, answer.AffectedSOPInstanceUID) == ("1.2.3", "1.2.34")
