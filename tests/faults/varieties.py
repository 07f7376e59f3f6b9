"""An instance of each transfer syntax and character set, made by hand; and files of others."""

import random
import struct
from collections.abc import Iterator
from pathlib import Path

from scp.contexts import TRANSFER_SYNTAXES
from tests.faults.datasets import (
    EXPLICIT,
    IMPLICIT,
    MR_IMAGE,
    Instance,
    image,
    new_uid,
    padded,
)

# Specific Character Set, Python's name for it, and a name written in it. PS3.3 C.12.1.1.2.
CHARACTER_SETS = (
    ("", "ascii", "Doe^Jane"),
    ("ISO_IR 100", "iso8859_1", "Äneas^Rüdiger"),
    ("ISO_IR 101", "iso8859_2", "Wałęsa"),
    ("ISO_IR 109", "iso8859_3", "Ċensu"),
    ("ISO_IR 110", "iso8859_4", "Bērziņš"),
    ("ISO_IR 144", "iso8859_5", "Люкceмбypг"),  # noqa: RUF001
    ("ISO_IR 127", "iso8859_6", "قباني^لنزار"),
    ("ISO_IR 126", "iso8859_7", "Διονυσιος"),
    ("ISO_IR 138", "iso8859_8", "שרון^דבורה"),
    ("ISO_IR 148", "iso8859_9", "Çavuşoğlu"),
    ("ISO_IR 203", "iso8859_15", "Œuvre^€"),
    ("ISO_IR 13", "shift_jis", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
    ("ISO_IR 166", "iso8859_11", "นามสกุล"),
    ("ISO_IR 192", "utf-8", "Wang^XiaoDong=王^小东="),
    ("GB18030", "gb18030", "Wang^XiaoDong=王^小东="),
    ("GBK", "gbk", "Wang^XiaoDong=王^小东="),
    ("\\ISO 2022 IR 87", "iso2022_jp", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    ("ISO 2022 IR 13\\ISO 2022 IR 87", "iso2022_jp", "Yamada=山田^太郎"),
    ("\\ISO 2022 IR 159", "iso2022_jp_2", "Yamada^Tarou=丂丄^丅"),
    ("\\ISO 2022 IR 149", "euc_kr", "Hong^Gildong=洪^吉洞=홍^길동"),
    ("\\ISO 2022 IR 58", "gb2312", "Zhang^XiaoDong=张^小东"),
    ("ISO 2022 IR 100\\ISO 2022 IR 126", "iso8859_1", "Müller"),
)
_INTRODUCED = {"euc_kr": b"\x1b$)C", "gb2312": b"\x1b$)A"}  # before a text in G1
PREFIX, META = 132, struct.Struct("<HH2sHI")


def stored_syntaxes() -> list[str]:
    """Return the transfer syntaxes that are taken: all but the deflated ones."""
    return [row.uid for row in TRANSFER_SYNTAXES if row.stored]


def of_each_syntax(rng: random.Random) -> Iterator[Instance]:
    """Yield an image in each."""
    study, series = new_uid(rng), new_uid(rng)
    for number, syntax in enumerate(stored_syntaxes()):
        size = rng.randrange(100, 20_000)
        yield image(rng, study=study, series=series, number=number, size=size, syntax=syntax)


def written(name: str, codec: str) -> bytes:
    """Return a name as DICOM writes it: each component begins anew. PS3.5 section 6.1.2.5.3."""
    groups = []
    for group in name.split("="):
        parts = (_component(part, codec) for part in group.split("^"))
        groups.append(b"^".join(parts))
    return b"=".join(groups)


def _component(text: str, codec: str) -> bytes:
    introduction = b"" if text.isascii() else _INTRODUCED.get(codec, b"")
    return introduction + text.encode(codec)


def of_each_character_set(rng: random.Random) -> Iterator[Instance]:
    """Yield an image with a patient's name in each."""
    for number, (term, codec, name) in enumerate(CHARACTER_SETS):
        more = {
            0x00080005: ("CS", padded("CS", term)),
            0x00100010: ("PN", padded("PN", written(name, codec))),
        }
        syntax = (EXPLICIT, IMPLICIT)[number % 2]
        one = image(rng, study=new_uid(rng), series=new_uid(rng), size=64, syntax=syntax, more=more)
        yield one


def truncated(rng: random.Random) -> Iterator[Instance]:
    """Yield images that end in the middle of their pixels; their UIDs can be read."""
    for syntax in stored_syntaxes():
        whole = image(rng, study=new_uid(rng), series=new_uid(rng), size=4000, syntax=syntax)
        cut = whole.data[: -rng.randrange(10, 1000)]
        yield Instance(MR_IMAGE, whole.sop_instance_uid, syntax, whole.study_instance_uid, cut)


def files_in(folder: Path) -> Iterator[Instance]:
    """Yield the Part 10 files of a folder, as they are; what has no meta group is left out."""
    for path in sorted(folder.rglob("*.dcm")):
        content = path.read_bytes()
        if content[128:PREFIX] != b"DICM":
            continue
        values, position = {}, PREFIX
        while content[position : position + 2] == b"\2\0":
            _, number, vr, length = struct.unpack_from("<HH2sH", content, position)
            start = position + 8
            if vr in (b"OB", b"UN"):
                (length,) = struct.unpack_from("<I", content, start)
                start += 4
            values[number] = content[start : start + length].decode("latin-1").rstrip("\0 ")
            position = start + length
        if values.get(0x0010) in stored_syntaxes() and 0x0002 in values and 0x0003 in values:
            data = content[position:]
            yield Instance(values[0x0002], values[0x0003], values[0x0010], path.name, data)
