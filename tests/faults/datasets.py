"""Data sets made by hand, byte for byte, in every transfer syntax; no library encodes them.

What such a sender sends is known exactly: it is what must lie in the spool. PS3.5 section 7.
"""

import hashlib
import random
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
IMPLICIT, EXPLICIT, BIG_ENDIAN = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.2",
)
_LONG = ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV")
_NO_TEXT = ("UI", "OB", "UN")  # padded with zeros
UNDEFINED = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Instance:
    """What a sender sends: the bytes of the data set, and the words around it."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    study_instance_uid: str
    data: bytes = field(repr=False)
    operation: int = 0x0001  # C-STORE; PS3.7 annex E

    @property
    def sha256(self) -> str:
        """The digest of the data set as it goes over the wire."""
        return hashlib.sha256(self.data).hexdigest()


def encode(
    tag: int, vr: str, value: bytes, syntax: str = EXPLICIT, *, length: int | None = None
) -> bytes:
    """Return one element; `length` is what its header says instead of the truth."""
    order = ">" if syntax == BIG_ENDIAN else "<"
    length = len(value) if length is None else length
    head = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF)
    if syntax == IMPLICIT:
        return head + struct.pack(order + "I", length) + value
    if vr in _LONG:
        return head + vr.encode() + bytes(2) + struct.pack(order + "I", length) + value
    return head + vr.encode() + struct.pack(order + "H", length & 0xFFFF) + value


def delimiter(tag: int, syntax: str = EXPLICIT, length: int = 0) -> bytes:
    """Return an item, or the end of one or of a sequence: a tag and a length, no VR."""
    order = ">" if syntax == BIG_ENDIAN else "<"
    return struct.pack(order + "HHI", tag >> 16, tag & 0xFFFF, length)


ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD


def padded(vr: str, value: str | bytes, encoding: str = "ascii") -> bytes:
    """Return a text value of even length."""
    raw = value if isinstance(value, bytes) else value.encode(encoding)
    pad = b"\0" if vr in _NO_TEXT else b" "
    return raw + pad * (len(raw) % 2)


def new_uid(rng: random.Random) -> str:
    """Return a UID that nobody else has."""
    return f"2.25.{rng.getrandbits(122)}"


def data_set(
    values: Mapping[int, tuple[str, bytes]], syntax: str, pixels: Iterable[bytes] = ()
) -> bytes:
    """Return the elements in the order of their tags, then Pixel Data in these fragments.

    Pixel Data is native in the three plain syntaxes and encapsulated in all others.
    """
    plain = syntax in (IMPLICIT, EXPLICIT, BIG_ENDIAN)
    inner = syntax if plain else EXPLICIT
    body = b"".join(encode(tag, *values[tag], inner) for tag in sorted(values))
    parts = list(pixels)
    if not parts:
        return body
    if plain:
        return body + encode(0x7FE00010, "OW", b"".join(parts), inner)
    items = [delimiter(ITEM)] + [delimiter(ITEM, length=len(part)) + part for part in parts]
    opened = encode(0x7FE00010, "OB", b"", inner, length=UNDEFINED)
    return body + opened + b"".join(items) + delimiter(SEQUENCE_END)


def image(
    rng: random.Random,
    *,
    study: str,
    series: str,
    number: int = 1,
    size: int = 8192,
    syntax: str = EXPLICIT,
    more: Mapping[int, tuple[str, bytes]] | None = None,
    sop_class: str = MR_IMAGE,
) -> Instance:
    """Return an image with random pixels of about `size` bytes; `more` adds or replaces elements.

    Its numbers are such that `pixels` are what Rows and Columns say in the plain syntaxes.
    """
    order = ">" if syntax == BIG_ENDIAN else "<"
    columns = 32
    rows = max(size // (2 * columns), 1)

    def us(value: int) -> tuple[str, bytes]:
        return "US", struct.pack(order + "H", value)

    sop_instance = new_uid(rng)
    values: dict[int, tuple[str, bytes]] = {
        0x00080005: ("CS", b"ISO_IR 100"),
        0x00080008: ("CS", padded("CS", r"ORIGINAL\PRIMARY\M\ND")),
        0x00080016: ("UI", padded("UI", sop_class)),
        0x00080018: ("UI", padded("UI", sop_instance)),
        0x00080020: ("DA", b"20260102"),
        0x00080060: ("CS", b"MR"),
        0x0008103E: ("LO", b"by hand "),
        0x00100010: ("PN", padded("PN", "Synthetic^Fault")),
        0x00100020: ("LO", padded("LO", "FAULT-1")),
        0x0020000D: ("UI", padded("UI", study)),
        0x0020000E: ("UI", padded("UI", series)),
        0x00200013: ("IS", padded("IS", str(number))),
        0x00280002: us(1),
        0x00280004: ("CS", padded("CS", "MONOCHROME2")),
        0x00280010: us(min(rows, 65_535)),
        0x00280011: us(columns),
        0x00280100: us(16),
        0x00280101: us(16),
        0x00280102: us(15),
        0x00280103: us(0),
    }
    pixels = rng.randbytes(2 * columns * rows)
    data = data_set({**values, **(more or {})}, syntax, (pixels,))
    return Instance(sop_class, sop_instance, syntax, study, data)


def study_of(rng: random.Random, count: int, *, largest: int = 60_000) -> list[Instance]:
    """Return the images of one series, of random sizes."""
    study, series = new_uid(rng), new_uid(rng)
    return [
        image(rng, study=study, series=series, number=n + 1, size=rng.randrange(64, largest))
        for n in range(count)
    ]
