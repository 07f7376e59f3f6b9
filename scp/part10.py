"""A DICOM file that comes in pieces: its data set goes into a deposit, its meta group does not.

The meta group is read for what it claims, within bounds, and replaced by ours: it is the
sender's, and the spool's tells how the instance came. PS3.10 section 7.1.
"""

import struct

from scp.deposit import Claimed, Deposit, Depot, Source
from scp.head import OutOfBounds, read_element
from scp.status import Outcome

_PREAMBLE = 132  # bytes, "DICM" included
_GROUP_LENGTH = struct.Struct("<HH2sHI")
_LONGEST_META = 1024**2
_NOTHING = Claimed(sop_class_uid="", sop_instance_uid="", transfer_syntax_uid="")


class Part10File:
    """One file on its way into the spool."""

    def __init__(self, depot: Depot, source: Source) -> None:
        self._depot = depot
        self._source = source
        self._head = bytearray()
        self._end: int | None = None  # of the meta group
        self._deposit: Deposit | None = None
        self._is_dicom = True

    @property
    def claimed(self) -> Claimed:
        """What the file says it is; empty texts where it did not say it."""
        return _NOTHING if self._deposit is None else self._deposit.claimed

    def write(self, piece: bytes | memoryview) -> None:
        """Take a piece of the file."""
        if self._deposit is not None:
            self._deposit.write(piece)
        elif self._is_dicom:
            self._head += piece
            self._read_head()

    def _read_head(self) -> None:
        if self._end is None and len(self._head) >= _PREAMBLE + _GROUP_LENGTH.size:
            self._end = self._meta_end()
        if not self._is_dicom or self._end is None or len(self._head) < self._end:
            return
        claimed = self._claimed()
        if claimed is not None:
            self._deposit = self._depot.begin(self._source, claimed)
            self._deposit.write(memoryview(bytes(self._head[self._end :])))
        self._head.clear()

    def _meta_end(self) -> int | None:
        group, element, vr, length, value = _GROUP_LENGTH.unpack_from(self._head, _PREAMBLE)
        is_meta = (group, element, vr, length) == (2, 0, b"UL", 4) and value <= _LONGEST_META
        self._is_dicom = is_meta and self._head[128:_PREAMBLE] == b"DICM"
        return _PREAMBLE + _GROUP_LENGTH.size + int(value) if self._is_dicom else None

    def _claimed(self) -> Claimed | None:
        meta = bytes(self._head[: self._end])
        values: dict[int, str] = {}
        position = _PREAMBLE + _GROUP_LENGTH.size
        try:
            while position < len(meta):
                element = read_element(meta, position)
                position = element.value + (element.length or 0)
                text = meta[element.value : min(position, element.value + 128)]
                values[element.tag] = text.decode("ascii", "replace").strip("\0 ")
        except OutOfBounds:
            self._is_dicom = False
            return None
        return Claimed(
            sop_class_uid=values.get(0x00020002, ""),
            sop_instance_uid=values.get(0x00020003, ""),
            transfer_syntax_uid=values.get(0x00020010, ""),
        )

    def finish(self) -> Outcome:
        """Return what became of it, its last byte having come; kept means durable."""
        if self._deposit is None:
            return Outcome.NOT_DICOM
        return self._deposit.finish()

    def discard(self) -> None:
        """Keep nothing of it."""
        if self._deposit is not None:
            self._deposit.discard()
