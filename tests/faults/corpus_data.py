"""Attacks by data sets: in intact PDVs, under a correct command, wrong inside. PS3.5 section 7.

`KEPT` says that success fits, and then every byte must be in the spool; `UNREADABLE` that the
receiver cannot find the four UIDs, and says so.
"""

import random
import struct
from collections.abc import Iterator
from dataclasses import replace

from tests.faults.corpus import Attack, storing
from tests.faults.datasets import (
    BIG_ENDIAN,
    EXPLICIT,
    IMPLICIT,
    ITEM,
    ITEM_END,
    MR_IMAGE,
    SEQUENCE_END,
    UNDEFINED,
    Instance,
    delimiter,
    encode,
    image,
    new_uid,
    padded,
)

KEPT = ("status 0000",)
UNREADABLE = ("status C1*", "status A9*")
EITHER = (*KEPT, *UNREADABLE)
JPEG = "1.2.840.10008.1.2.4.70"
PLAIN = (IMPLICIT, EXPLICIT, BIG_ENDIAN)
ESCAPE = "../../../../../../../../escaped-from-the-spool"


class Maker:
    """Makes whole instances by seed, and changed ones."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)

    def good(self, syntax: str = EXPLICIT, size: int = 2048, **more: object) -> Instance:
        """Return a whole image of a study of its own."""
        return image(
            self._rng,
            study=new_uid(self._rng),
            series=new_uid(self._rng),
            size=size,
            syntax=syntax,
            **more,  # type: ignore[arg-type]
        )

    def with_element(self, tag: int, vr: str, value: bytes, syntax: str = EXPLICIT) -> Instance:
        """Return an image in which this element is added or replaced."""
        return self.good(syntax, more={tag: (vr, value)})

    def ending_in(self, tail: bytes, syntax: str = EXPLICIT) -> Instance:
        """Return an image after which these bytes come, in the same data set."""
        good = self.good(syntax, size=64)
        return replace(good, data=good.data + tail)

    def beginning_with(self, head: bytes, syntax: str = EXPLICIT) -> Instance:
        """Return an image before which these bytes come, in the same data set."""
        good = self.good(syntax, size=64)
        return replace(good, data=head + good.data)


def truncated(make: Maker) -> Iterator[Attack]:
    """Data sets that end inside an element, in intact PDVs. What has its UIDs is kept."""
    for syntax in (*PLAIN, JPEG):
        for part in (0.99, 0.9, 0.7, 0.5):
            good = make.good(syntax)
            cut = good.data[: int(len(good.data) * part) | 1]
            yield storing(f"cut at {part} in {syntax}", replace(good, data=cut), *TRUNCATED)
    for end in (0, 1, 4, 7, 8, 9, 30, 60, 90, 120):
        good = make.good()
        yield storing(f"cut at {end} bytes", replace(good, data=good.data[:end]), *UNREADABLE)


TRUNCATED = ("status 0000",)


def other_bytes(make: Maker) -> Iterator[Attack]:
    """Bytes that are no data set in the agreed transfer syntax."""
    rng = random.Random(7)
    good = make.good()
    for name, data in {
        "text": b"Dear colleague, " * 60,
        "HTML": b"<!DOCTYPE html><script>alert(1)</script>" * 20,
        "zeros": bytes(3000),
        "ones": b"\xff" * 3000,
        "an ELF": b"\x7fELF" + rng.randbytes(3000),
        "a PE": b"MZ" + rng.randbytes(3000),
        "a ZIP": b"PK\3\4" + rng.randbytes(3000),
        "a file with preamble": bytes(128) + b"DICM" + good.data,
    }.items():
        yield storing(name, replace(make.good(), data=data), *UNREADABLE)
    for seed in range(10):
        data = random.Random(seed).randbytes(2000)
        yield storing(f"random bytes {seed}", replace(make.good(), data=data), *UNREADABLE)
    for said, sent in ((EXPLICIT, IMPLICIT), (IMPLICIT, EXPLICIT), (EXPLICIT, BIG_ENDIAN),
                       (BIG_ENDIAN, EXPLICIT), (IMPLICIT, BIG_ENDIAN)):  # fmt: skip
        wrong = replace(make.good(sent), transfer_syntax_uid=said)
        yield storing(f"{sent} said to be {said}", wrong, *UNREADABLE)
    meta = encode(0x00020010, "UI", padded("UI", JPEG))
    yield storing("group 0002 in the data set", make.beginning_with(meta), *EITHER)
    command = encode(0x00000002, "UI", padded("UI", MR_IMAGE))
    yield storing("group 0000 in the data set", make.beginning_with(command), *EITHER)


_BAD_UIDS = {
    "a path": ESCAPE,
    "an absolute path": "/tmp/escaped-from-the-spool",
    "a path behind a UID": "1.2.3/" + ESCAPE,
    "a NUL inside": "1.2.3\0/../escaped-from-the-spool",
    "65 characters": "1." + "2" * 63,
    "200 characters": "1." * 100,
    "letters": "1.2.abc",
    "a backslash": "1.2.3\\1.2.4",
    "spaces": "1.2. 3",
    "a line feed": '1.2.3\n{"event": "forged"}',
    "a format": "%s%n{0}",
    "a Windows device": "CON",
    "an SQL text": "1'; DROP TABLE instance; --",
    "HTML": "<script>alert(1)</script>",
    "other digits": "1.2.\N{ARABIC-INDIC DIGIT THREE}",
    "nothing": "",
}


def uids(make: Maker) -> Iterator[Attack]:
    """UIDs in the command and the data set that are no UIDs, differ or are missing."""
    for name, uid in _BAD_UIDS.items():
        raw = padded("UI", uid.encode())
        text = raw.decode("latin-1")
        for tag, what in ((0x0020000D, "Study"), (0x0020000E, "Series")):
            bad = make.with_element(tag, "UI", raw)
            yield storing(f"{what} UID: {name}", bad, *UNREADABLE)
        both = make.with_element(0x00080018, "UI", raw)
        yield storing(
            f"SOP Instance UID: {name}", replace(both, sop_instance_uid=text), *UNREADABLE
        )
        classes = make.with_element(0x00080016, "UI", raw)
        yield storing(f"SOP Class UID in the data set: {name}", classes, *UNREADABLE)
    other = make.good()
    yield storing(
        "another instance", replace(other, sop_instance_uid="1.2.3"), "status A901", "status A900"
    )
    classes = make.with_element(0x00080016, "UI", padded("UI", "1.2.840.10008.5.1.4.1.1.2"))
    yield storing("another class", classes, "status A900")
    for tag in (0x00080016, 0x00080018, 0x0020000D, 0x0020000E):
        good = make.good()
        start = good.data.index(struct.pack("<HH", tag >> 16, tag & 0xFFFF) + b"UI")
        (length,) = struct.unpack_from("<H", good.data, start + 6)
        without = good.data[:start] + good.data[start + 8 + length :]
        yield storing(f"without {tag:08X}", replace(good, data=without), *UNREADABLE)
        again = encode(tag, "UI", padded("UI", "1.2.3.4"))
        yield storing(f"{tag:08X} again at the end", make.ending_in(again), *EITHER)


def _nested(depth: int, *, undefined: bool, tag: int = 0x0040A730, vr: str = "SQ") -> bytes:
    data = b""
    for _ in range(depth):
        if undefined:
            data = delimiter(ITEM, length=UNDEFINED) + data + delimiter(ITEM_END)
            data = encode(tag, vr, data, length=UNDEFINED) + delimiter(SEQUENCE_END)
        else:
            data = encode(tag, vr, delimiter(ITEM, length=len(data)) + data)
    return data


def sequences(make: Maker) -> Iterator[Attack]:
    """Sequences that are deep, open, crossed or of lying length."""
    for depth in (1, 10, 99, 101, 500, 2000):
        for undefined in (True, False):
            kind = "undefined" if undefined else "defined"
            expects = KEPT if depth < 100 else EITHER
            head = _nested(depth, undefined=undefined, tag=0x00081140)
            good = make.good(more={0x00081140: ("UN", b"")})
            place = good.data.index(struct.pack("<HH", 0x0008, 0x1140))
            data = good.data[:place] + head + good.data[place + 12 :]
            yield storing(f"{depth} sequences deep, {kind}", replace(good, data=data), *expects)
    private = _nested(300, undefined=False, tag=0x00091001, vr="UN")
    yield storing("300 deep in UN", make.ending_in(private), *EITHER)
    opened = encode(0x7FE10010, "SQ", b"", length=UNDEFINED)
    item = delimiter(ITEM, length=UNDEFINED)
    for name, tail in {
        "a sequence without end": opened,
        "an item without end": opened + item,
        "an item end for a sequence end": opened + item + delimiter(SEQUENCE_END),
        "a sequence end that is too many": delimiter(SEQUENCE_END),
        "an item outside a sequence": delimiter(ITEM),
        "an item of 4 GiB": opened + delimiter(ITEM, length=UNDEFINED - 1),
        "an end with a length": opened + delimiter(SEQUENCE_END, length=100),
        "an element for an item": opened + encode(0x00080005, "CS", b""),
        "100,000 empty items": opened + delimiter(ITEM) * 100_000 + delimiter(SEQUENCE_END),
    }.items():
        yield storing(name, make.ending_in(tail), *EITHER)


def elements(make: Maker) -> Iterator[Attack]:
    """Elements with lying lengths, wrong VRs, wrong order, too many."""
    for length in (1, 0x7FFFFFFF, 0xFFFFFFFE):
        tail = encode(0x7FE10010, "OB", b"\0", length=length)
        yield storing(f"OB that says {length}", make.ending_in(tail), *EITHER)
    tail = encode(0x7FE10010, "LO", b"short ", length=0xFFFE)
    yield storing("LO that says 65534", make.ending_in(tail), *EITHER)
    undefined = struct.pack("<HH2sHI", 0x7FE1, 0x0010, b"UT", 0, UNDEFINED)
    yield storing("text of undefined length", make.ending_in(undefined), *EITHER)
    for vr in (b"??", b"\0\0", b"ox", b"ZZ", b"\xff\xff"):
        odd = struct.pack("<HH2sH", 0x7FE1, 0x0010, vr, 4) + b"abcd"
        yield storing(f"a VR of {vr!r}", make.ending_in(odd), *EITHER)
    for value in (0, 1, 0xFFFFFFFF):
        head = encode(0x00080000, "UL", struct.pack("<I", value))
        yield storing(f"a group length of {value}", make.beginning_with(head), *KEPT)
    tail = encode(0x00090010, "LO", b"LATE") + encode(0x00080070, "LO", b"EARLIER ")
    yield storing("tags that go back", make.ending_in(tail), *EITHER)
    tail = encode(0xFFFCFFFC, "OB", bytes(1000))
    yield storing("trailing padding", make.ending_in(tail), *KEPT)
    tail = encode(0x7FE10010, "OB", b"odd")
    yield storing("a value of odd length", make.ending_in(tail), *KEPT)
    many = b"".join(encode(0x7FE10010, "LO", b"") for _ in range(200_000))
    yield storing("200,000 elements", make.ending_in(many), *EITHER)
    far = b"".join(encode(0x00080001 + n, "LO", b"") for n in range(4))
    yield storing("group 0008 that begins below the UIDs", make.beginning_with(far), *KEPT)


_HOSTILE = {
    "markup": "<script>alert(1)</script>",
    "an entity": "<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>&a;",
    "a path": ESCAPE,
    "a log line": 'x\r\n{"event":"forged"}',
    "a formula": "=cmd|'/C calc'!A0",
    "a terminal": "\x1b]0;owned\x07\x1b[2J",
    "60 KB": "A" * 60_000,
    "many values": "\\" * 5000,
    "a NUL": "a\0b",
    "no character": "\udcff\udcfe",
}


def texts(make: Maker) -> Iterator[Attack]:
    """Texts that mean something to a browser, a shell, a log or a spreadsheet. They are kept."""
    for name, text in _HOSTILE.items():
        raw = text.encode("utf-8", "surrogateescape")
        for tag, vr in (
            (0x00100010, "PN"),
            (0x0008103E, "LO"),
            (0x00080005, "CS"),
            (0x00200013, "IS"),
        ):
            yield storing(f"{tag:08X}: {name}", make.with_element(tag, vr, padded(vr, raw)), *KEPT)


def pictures(make: Maker) -> Iterator[Attack]:
    """Pixels that are not what the numbers say. The receiver keeps them; readers must survive."""
    for tag, vr, value in (
        (0x00280010, "US", struct.pack("<H", 65_535)),
        (0x00280011, "US", struct.pack("<H", 0)),
        (0x00280010, "UL", struct.pack("<I", 2**32 - 1)),
        (0x00280008, "IS", b"2147483647"),
        (0x00280008, "IS", b"-1"),
        (0x00280100, "US", struct.pack("<H", 1)),
        (0x00280101, "US", struct.pack("<H", 17)),
        (0x00280102, "US", struct.pack("<H", 99)),
        (0x00280002, "US", struct.pack("<H", 65_535)),
        (0x00280004, "CS", b"PALETTE COLOR "),
        (0x00280030, "DS", b"0\\0 "),
        (0x00200037, "DS", b"1\\0\\0\\1\\0\\0 "),
        (0x00200032, "DS", b"NaN\\inf\\1e999 "),
    ):
        bad = make.with_element(tag, vr, value)
        yield storing(f"{tag:08X} {vr} {value!r}", bad, *KEPT)
    head = make.good(JPEG, size=64).data
    place = head.index(struct.pack("<HH", 0x7FE0, 0x0010))
    start = head[:place] + encode(0x7FE00010, "OB", b"", length=UNDEFINED)
    for name, tail in {
        "no items": delimiter(SEQUENCE_END),
        "a false offset table": delimiter(ITEM, length=8) + b"\xff" * 8
        + delimiter(ITEM, length=4) + bytes(4) + delimiter(SEQUENCE_END),
        "50,000 fragments": delimiter(ITEM) * 50_000 + delimiter(SEQUENCE_END),
        "no end": delimiter(ITEM) + delimiter(ITEM, length=4) + bytes(4),
        "a fragment of 4 GiB": delimiter(ITEM) + delimiter(ITEM, length=UNDEFINED - 2),
    }.items():  # fmt: skip
        good = make.good(JPEG, size=64)
        place = good.data.index(struct.pack("<HH", 0x7FE0, 0x0010))
        data = good.data[:place] + start[-12:] + tail
        yield storing(f"encapsulated: {name}", replace(good, data=data), *EITHER)
    native = replace(make.good(EXPLICIT), transfer_syntax_uid=JPEG)
    yield storing("native pixels said to be JPEG", native, *KEPT)
    packed = replace(make.good(JPEG), transfer_syntax_uid=EXPLICIT)
    yield storing("JPEG said to be native", packed, *KEPT)


def all_attacks(seed: int = 1) -> Iterator[Attack]:
    """Yield the attacks of this kind."""
    make = Maker(seed)
    for kind in (truncated, other_bytes, uids, sequences, elements, texts, pictures):
        yield from kind(make)
