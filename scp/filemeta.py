"""Preamble and file meta group of a spool file: what the association told of the instance.

The provenance travels inside the file (Private Information), so that the spool alone is enough
to rebuild everything. The data set follows byte for byte as it came. PS3.10 section 7.1.
"""

import json
import struct
from dataclasses import dataclass, replace
from datetime import datetime

from appliance.core.errors import BadInstance
from appliance.core.model import Door
from appliance.core.product import (
    APPLIANCE_DEVICE_UID,
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
)
from scp.checksum import NONE
from scp.head import Buffer, OutOfBounds, read_element
from scp.page import BLOCK

_PREAMBLE = bytes(128) + b"DICM"  # zeros: whatever a peer sends, the file is no other format
_GROUP_LENGTH = struct.Struct("<HH2sHI")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """How an instance came here."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae_title: str
    called_ae_title: str
    peer_address: str
    received_at: datetime
    checksum: str = NONE  # of the data set; known when its last byte has come
    door: Door = Door.PUSHED


def completed(provenance: Provenance, *, received_at: datetime, checksum: str) -> Provenance:
    """Return the provenance of a data set that is here."""
    return replace(provenance, received_at=received_at, checksum=checksum)


def encode(provenance: Provenance, data_set_size: int = 0) -> bytes:
    """Return preamble, prefix and group 0002, filled up with blanks.

    With a data set of that size behind it a file ends with a block of the disk, or a byte before;
    without one, the head itself does.
    """
    private = {
        "received_at": provenance.received_at.isoformat(timespec="microseconds"),
        "peer_address": provenance.peer_address,
        "checksum": provenance.checksum,
        "called_ae_title": provenance.called_ae_title,
        "door": provenance.door.value,
    }
    elements = b"".join(
        (
            _long(0x0001, b"\0\1"),
            _short(0x0002, b"UI", provenance.sop_class_uid, b"\0"),
            _short(0x0003, b"UI", provenance.sop_instance_uid, b"\0"),
            _short(0x0010, b"UI", provenance.transfer_syntax_uid, b"\0"),
            _short(0x0012, b"UI", IMPLEMENTATION_CLASS_UID, b"\0"),
            _short(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME, b" "),
            _short(0x0016, b"AE", provenance.calling_ae_title, b" "),
            _short(0x0018, b"AE", provenance.called_ae_title, b" "),
            _short(0x0100, b"UI", APPLIANCE_DEVICE_UID, b"\0"),
        )
    )
    text = json.dumps(private).encode("ascii")
    size = len(_PREAMBLE) + _GROUP_LENGTH.size + len(elements) + len(_long(0x0102, text))
    fill = -(size + data_set_size) % BLOCK
    group = elements + _long(0x0102, text + b" " * (fill - fill % 2))
    return _PREAMBLE + _GROUP_LENGTH.pack(2, 0, b"UL", 4, len(group)) + group


def _short(number: int, vr: bytes, text: str, padding: bytes) -> bytes:
    value = text.encode("ascii", "replace")
    value += padding * (len(value) % 2)
    return struct.pack("<HH2sH", 2, number, vr, len(value)) + value


def _long(number: int, value: bytes) -> bytes:
    value += b" " * (len(value) % 2)
    return struct.pack("<HH2sHI", 2, number, b"OB", 0, len(value)) + value


def decode(data: Buffer) -> tuple[Provenance, int]:
    """Return what `encode` wrote, and where the data set begins. Raises BadInstance."""
    if bytes(data[128:132]) != b"DICM" or len(data) < len(_PREAMBLE) + _GROUP_LENGTH.size:
        raise BadInstance("not a spool file: it has no DICOM prefix")
    (*_, length) = _GROUP_LENGTH.unpack_from(data, len(_PREAMBLE))
    position = len(_PREAMBLE) + _GROUP_LENGTH.size
    end = position + int(length)
    if end > len(data):
        raise BadInstance("not a spool file: its file meta group is cut off")
    values: dict[int, bytes] = {}
    try:
        while position < end:
            element = read_element(data, position)
            position = element.value + (element.length or 0)
            values[element.tag & 0xFFFF] = bytes(data[element.value : position])
        return _provenance(values), end
    except OutOfBounds:
        raise BadInstance("not a spool file: its file meta group cannot be read") from None
    except (KeyError, TypeError, ValueError) as error:
        raise BadInstance(f"not a spool file: its file meta group lacks {error}") from None


def _provenance(values: dict[int, bytes]) -> Provenance:
    private = json.loads(values[0x0102])
    return Provenance(
        sop_class_uid=_text(values[0x0002]),
        sop_instance_uid=_text(values[0x0003]),
        transfer_syntax_uid=_text(values[0x0010]),
        calling_ae_title=_text(values[0x0016]),
        called_ae_title=private["called_ae_title"],
        peer_address=private["peer_address"],
        received_at=datetime.fromisoformat(private["received_at"]),
        # Earlier versions had one algorithm, and one door.
        checksum=str(private.get("checksum") or private["sha256"]),
        door=Door(private.get("door", Door.PUSHED)),
    )


def _text(value: bytes) -> str:
    return value.decode("ascii", "replace").strip("\0 ")
