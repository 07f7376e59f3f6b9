"""Command sets of DIMSE requests, read from untrusted bytes. PS3.7 section 6.3 and annex E."""

import struct
from dataclasses import dataclass

from scp.pdu import AbortReason

C_STORE_RQ = 0x0001
C_ECHO_RQ = 0x0030
C_CANCEL_RQ = 0x0FFF
N_EVENT_REPORT_RQ = 0x0100
N_SET_RQ = 0x0120
N_ACTION_RQ = 0x0130
N_CREATE_RQ = 0x0140
RESPONSE = 0x8000  # is set in the command field of every response
_NO_DATA_SET = 0x0101

_GROUP_LENGTH = 0x0000
_SOP_CLASS = 0x0002
_REQUESTED_SOP_CLASS = 0x0003
_FIELD = 0x0100
_MESSAGE_ID = 0x0110
_MESSAGE_ID_ANSWERED = 0x0120
_DATA_SET_TYPE = 0x0800
_STATUS = 0x0900
_ERROR_COMMENT = 0x0902
_ERROR_ID = 0x0903
_SOP_INSTANCE = 0x1000
_REQUESTED_SOP_INSTANCE = 0x1001
_MOVE_ORIGINATOR = 0x1030
_ACTION_TYPE = 0x1008
_LONGEST_COMMENT = 64  # LO


class ProtocolViolation(Exception):
    """The peer breaks the protocol in a way that ends the association."""

    def __init__(
        self, message: str, reason: AbortReason = AbortReason.INVALID_PARAMETER_VALUE
    ) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A request; UIDs are text as it came, empty where missing.

    They are the affected ones, or in operations on something that exists the requested ones.
    """

    field: int
    message_id: int
    has_data_set: bool
    sop_class_uid: str
    sop_instance_uid: str
    action_type_id: int | None = None
    move_originator: str = ""  # AE title of who asked the caller, by C-MOVE, to send


def parse(data: bytes) -> Command:
    """Return the request that the command set (always Implicit VR Little Endian) holds.

    Raises ProtocolViolation.
    """
    values: dict[int, bytes] = {}
    position = 0
    while position < len(data):
        try:
            group, number, length = struct.unpack_from("<HHI", data, position)
        except struct.error:
            raise ProtocolViolation("the command set ends inside an element") from None
        position += 8 + length
        if group != 0 or position > len(data):
            raise ProtocolViolation("the command set is malformed")
        values[number] = data[position - length : position]
    return Command(
        field=_number(values, _FIELD),
        message_id=_number(values, _MESSAGE_ID),
        has_data_set=_number(values, _DATA_SET_TYPE) != _NO_DATA_SET,
        sop_class_uid=_text(values, _SOP_CLASS) or _text(values, _REQUESTED_SOP_CLASS),
        sop_instance_uid=_text(values, _SOP_INSTANCE) or _text(values, _REQUESTED_SOP_INSTANCE),
        action_type_id=_number(values, _ACTION_TYPE) if _ACTION_TYPE in values else None,
        move_originator=_text(values, _MOVE_ORIGINATOR),
    )


def encode_response(
    command: Command,
    status: int,
    *,
    comment: str = "",
    sop_class_uid: str,
    sop_instance_uid: str,
    error_id: int | None = None,
) -> bytes:
    """Return the command set of the response to a request; it comes without a data set.

    UIDs that are empty are left out. PS3.7 section 9.3 and 10.3; annex E for the elements.
    """
    elements = [
        (_FIELD, _us(command.field | RESPONSE)),
        (_MESSAGE_ID_ANSWERED, _us(command.message_id)),
        (_DATA_SET_TYPE, _us(_NO_DATA_SET)),
        (_STATUS, _us(status)),
    ]
    if sop_class_uid:
        elements.insert(0, (_SOP_CLASS, _padded(sop_class_uid, b"\0")))
    if comment:
        elements.append((_ERROR_COMMENT, _padded(comment[:_LONGEST_COMMENT], b" ")))
    if error_id is not None:
        elements.append((_ERROR_ID, _us(error_id)))
    if sop_instance_uid:
        elements.append((_SOP_INSTANCE, _padded(sop_instance_uid, b"\0")))
    if command.action_type_id is not None:
        elements.append((_ACTION_TYPE, _us(command.action_type_id)))
    body = b"".join(struct.pack("<HHI", 0, tag, len(value)) + value for tag, value in elements)
    return struct.pack("<HHII", 0, _GROUP_LENGTH, 4, len(body)) + body


def _us(value: int) -> bytes:
    return value.to_bytes(2, "little")


def _padded(text: str, padding: bytes) -> bytes:
    value = text.encode("ascii", "replace")
    return value + padding * (len(value) % 2)


def _number(values: dict[int, bytes], number: int) -> int:
    value = values.get(number, b"")
    if len(value) != 2:
        raise ProtocolViolation(f"(0000,{number:04X}) is missing or not a number")
    return int.from_bytes(value, "little")


def _text(values: dict[int, bytes], number: int) -> str:
    return values.get(number, b"").decode("ascii", "replace").strip("\0 ")
