"""Command sets of DIMSE requests, read from untrusted bytes. PS3.7 section 6.3 and annex E."""

import struct
from dataclasses import dataclass

C_STORE_RQ = 0x0001
C_ECHO_RQ = 0x0030
C_CANCEL_RQ = 0x0FFF
_NO_DATA_SET = 0x0101

_SOP_CLASS = 0x0002
_FIELD = 0x0100
_MESSAGE_ID = 0x0110
_DATA_SET_TYPE = 0x0800
_SOP_INSTANCE = 0x1000


class ProtocolViolation(Exception):
    """The peer breaks the protocol in a way that ends the association."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A request; UIDs are text as it came, empty where missing."""

    field: int
    message_id: int
    has_data_set: bool
    sop_class_uid: str
    sop_instance_uid: str


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
        sop_class_uid=_text(values, _SOP_CLASS),
        sop_instance_uid=_text(values, _SOP_INSTANCE),
    )


def _number(values: dict[int, bytes], number: int) -> int:
    value = values.get(number, b"")
    if len(value) != 2:
        raise ProtocolViolation(f"(0000,{number:04X}) is missing or not a number")
    return int.from_bytes(value, "little")


def _text(values: dict[int, bytes], number: int) -> str:
    return values.get(number, b"").decode("ascii", "replace").strip("\0 ")
