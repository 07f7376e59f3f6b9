"""A digest of an instance's pixel data as it lies in the file: same digest, same pixels.

PS3.5 section 8 (native and encapsulated formats), annex A.4 (fragments). Pixel data is read a
piece at a time, whatever its size.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from pydicom.uid import ExplicitVRBigEndian

from scp.head import (
    Buffer,
    Element,
    find_elements,
    fragments,
)

_FLOAT, _DOUBLE, _PIXELS = 0x7FE00008, 0x7FE00009, 0x7FE00010
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelDigest:
    """SHA-256 over the bytes of the pixel data, without lengths and offset table.

    Where the form is the same too, so are the pixels.
    """

    sha256: str
    form: str  # the byte order, or the transfer syntax of encapsulated frames
    is_encapsulated: bool


def pixel_digest(data: Buffer, start: int, transfer_syntax_uid: str) -> PixelDigest | None:
    """Return the digest of the data set that begins at `start`; None without pixel data.

    Raises MalformedDataSet where the data set is not whole.
    """
    wanted = frozenset({_FLOAT, _DOUBLE, _PIXELS})
    found = find_elements(data, start, transfer_syntax_uid, wanted)
    if not found:
        return None
    digest = hashlib.sha256()
    for tag, element in sorted(found.items()):
        digest.update(tag.to_bytes(4))
        for begin, end in _stretches(data, element):
            for at in range(begin, end, _PIECE):
                digest.update(data[at : min(at + _PIECE, end)])
    is_encapsulated = any(element.length is None for element in found.values())
    is_little = transfer_syntax_uid != ExplicitVRBigEndian
    order = "little-endian" if is_little else "big-endian"
    form = transfer_syntax_uid if is_encapsulated else order
    return PixelDigest(sha256=digest.hexdigest(), form=form, is_encapsulated=is_encapsulated)


def _stretches(data: Buffer, element: Element) -> Iterator[tuple[int, int]]:
    """Yield where the pixels lie: one value, or the fragments after the offset table."""
    if element.length is not None:
        yield element.value, element.value + element.length
        return
    yield from islice(fragments(data, element), 1, None)
