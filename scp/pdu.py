"""The upper layer's PDUs that carry no negotiation. PS3.8 section 9.3."""

import struct
from enum import IntEnum


class PduType(IntEnum):
    """The first byte of a PDU."""

    ASSOCIATE_RQ = 1
    ASSOCIATE_AC = 2
    ASSOCIATE_RJ = 3
    DATA = 4
    RELEASE_RQ = 5
    RELEASE_RP = 6
    ABORT = 7


class AbortReason(IntEnum):
    """Why we, the service provider, abort. PS3.8 table 9-26."""

    NOT_SPECIFIED = 0
    UNRECOGNIZED_PDU = 1
    UNEXPECTED_PDU = 2
    INVALID_PARAMETER_VALUE = 6


PDU_HEADER = struct.Struct(">BxI")  # type, length of what follows
PDV_HEADER = struct.Struct(">IBB")  # length of what follows itself, context id, control
IS_COMMAND, IS_LAST = 1, 2  # bits of the control header, PS3.8 annex E.2
RELEASE_RP = PDU_HEADER.pack(PduType.RELEASE_RP, 4) + bytes(4)


def abort(reason: AbortReason) -> bytes:
    """Return an A-ABORT of the service provider."""
    return PDU_HEADER.pack(PduType.ABORT, 4) + bytes((0, 0, 2, reason))


def rejection(result: int, source: int, reason: int) -> bytes:
    """Return an A-ASSOCIATE-RJ."""
    return PDU_HEADER.pack(PduType.ASSOCIATE_RJ, 4) + bytes((0, result, source, reason))


def command_pdus(context_id: int, command: bytes, longest: int) -> bytes:
    """Return a command set as P-DATA-TF PDUs of at most `longest` bytes each (0: no limit)."""
    room = max(longest - PDV_HEADER.size, 1) if longest else len(command)
    parts = [command[start : start + room] for start in range(0, len(command), room)]
    return b"".join(
        PDU_HEADER.pack(PduType.DATA, PDV_HEADER.size + len(part))
        + PDV_HEADER.pack(
            len(part) + 2, context_id, IS_COMMAND | (IS_LAST if part is parts[-1] else 0)
        )
        + part
        for part in parts
    )
