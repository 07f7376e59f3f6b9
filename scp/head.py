"""Which instance a data set is, and whether it is whole, found without decoding it.

The data set is walked element by element by its lengths alone: no value but the four UIDs is
looked at, nothing is copied, nothing recurses. `identify` goes as far as the UIDs, since its
answer is waited for by a peer; `verify_structure` goes to the end. A walk costs a bounded number
of steps; a data set with more elements than that is believed to be whole.
PS3.5 section 7 (encoding), annex A (transfer syntaxes).
"""

import mmap
import struct
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from appliance.core.errors import BadInstance

Buffer = bytes | memoryview | mmap.mmap

_SOP_CLASS = 0x00080016
_SOP_INSTANCE = 0x00080018
_STUDY = 0x0020000D
_SERIES = 0x0020000E
_IDENTITY = frozenset({_SOP_CLASS, _SOP_INSTANCE, _STUDY, _SERIES})

_FIRST_GROUP = 0x0008  # commands, file meta and directories are in no data set of an image
_DELIMITERS = 0xFFFE
ITEM = 0xFFFEE000
_ITEM_END = 0xFFFEE00D
_SEQUENCE_END = 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF

_LONG_VRS = frozenset(
    {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
)
_SHORT_VRS = frozenset(
    {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN",
     b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US"}
)  # fmt: skip
_MAX_STEPS = 100_000
_MAX_DEPTH = 100  # deeper nesting is an attack on whoever reads the file later
_MAX_UID_BYTES = 128  # longer than any UID; what is longer is reported, not copied


class Fault(StrEnum):
    """What can be wrong with the structure of a data set."""

    NOT_DICOM = "not-dicom"
    TRUNCATED = "truncated"


class MalformedDataSet(BadInstance):
    """The bytes are no whole DICOM data set; `fault` says in which way."""

    def __init__(self, fault: Fault, message: str) -> None:
        super().__init__(message)
        self.fault = fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The UIDs of one instance as its data set has them; empty text where one is missing."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str


@dataclass(frozen=True, slots=True)
class _Encoding:
    explicit: bool
    header: Callable[[Buffer, int], tuple[int, int, bytes, int]]  # group, number, VR, length
    long: Callable[[Buffer, int], tuple[int]]


def _encoding_of(order: str, *, explicit: bool) -> _Encoding:
    header, long = struct.Struct(f"{order}HH2sH"), struct.Struct(f"{order}I")
    return _Encoding(explicit, header.unpack_from, long.unpack_from)


class Element(NamedTuple):
    """Where one element lies; `length` is None where its value ends with a delimiter."""

    tag: int
    vr: bytes
    start: int
    value: int
    length: int | None


_Fields = tuple[int, bytes, int, int, int | None]  # an Element's, where it is made for each one


EXPLICIT_LITTLE = _encoding_of("<", explicit=True)
_IMPLICIT_LITTLE = _encoding_of("<", explicit=False)
_ENCODINGS: Mapping[str, _Encoding] = {
    ImplicitVRLittleEndian: _IMPLICIT_LITTLE,
    ExplicitVRBigEndian: _encoding_of(">", explicit=True),
}


def identify(data: Buffer, start: int, transfer_syntax_uid: str) -> Identity:
    """Return the UIDs of the data set that begins at `start`.

    What comes after the UIDs is not looked at. Raises MalformedDataSet where the bytes are no
    data set, or end before the UIDs do.
    """
    found: dict[int, str] = {}
    try:
        for tag, _, _, value, length in _top_level(data, start, _encoding(transfer_syntax_uid)):
            if tag in _IDENTITY and tag not in found:
                found[tag] = _uid(data, value, length)
            if len(found) == len(_IDENTITY) or tag > _SERIES:
                break
    except OutOfBounds:
        raise _malformed(is_dicom=_SOP_CLASS in found) from None
    return Identity(
        study_instance_uid=found.get(_STUDY, ""),
        series_instance_uid=found.get(_SERIES, ""),
        sop_instance_uid=found.get(_SOP_INSTANCE, ""),
        sop_class_uid=found.get(_SOP_CLASS, ""),
    )


def verify_structure(data: Buffer, start: int, transfer_syntax_uid: str) -> None:
    """Walk the data set that begins at `start` and goes to the end of `data`.

    Raises MalformedDataSet where the bytes are no data set, or end inside an element.
    """
    find_elements(data, start, transfer_syntax_uid, frozenset())


def find_elements(
    data: Buffer, start: int, transfer_syntax_uid: str, wanted: AbstractSet[int]
) -> dict[int, Element]:
    """Return where the wanted elements of the top level lie, after a walk to the data set's end.

    Of several with one tag the first. Raises MalformedDataSet as `verify_structure` does.
    """
    found: dict[int, Element] = {}
    is_dicom = False
    try:
        for element in _top_level(data, start, _encoding(transfer_syntax_uid)):
            tag = element[0]
            is_dicom = is_dicom or tag == _SOP_CLASS
            if tag in wanted and tag not in found:
                found[tag] = Element(*element)
    except OutOfBounds:
        raise _malformed(is_dicom=is_dicom) from None
    return found


def value_end(data: Buffer, element: Element, transfer_syntax_uid: str) -> int:
    """Return where the element's value ends, with the delimiter that it may have.

    Raises MalformedDataSet: a walk that ran out of steps has not seen all of what it believed.
    """
    if element.length is not None:
        return element.value + element.length
    try:
        return _skip(data, element, _encoding(transfer_syntax_uid), _MAX_STEPS)[0]
    except OutOfBounds:
        raise _malformed(is_dicom=True) from None


def _encoding(transfer_syntax_uid: str) -> _Encoding:
    return _ENCODINGS.get(transfer_syntax_uid, EXPLICIT_LITTLE)


def _malformed(*, is_dicom: bool) -> MalformedDataSet:
    if is_dicom:
        return MalformedDataSet(Fault.TRUNCATED, "the data set ends inside an element")
    return MalformedDataSet(
        Fault.NOT_DICOM, "the bytes are not a DICOM data set in the agreed transfer syntax"
    )


def fragments(data: Buffer, element: Element) -> Iterator[tuple[int, int]]:
    """Yield where each item of encapsulated pixel data begins and ends, the offset table first.

    Raises MalformedDataSet. PS3.5 annex A.4.
    """
    position = element.value
    try:
        while (item := read_element(data, position)).tag == ITEM:
            if item.length is None:
                raise MalformedDataSet(Fault.NOT_DICOM, "a fragment of pixel data has no length")
            position = item.value + item.length
            yield item.value, position
    except OutOfBounds:
        raise _malformed(is_dicom=True) from None


class OutOfBounds(Exception):
    """The next header or value is not where it must be."""


def _uid(data: Buffer, value: int, length: int | None) -> str:
    raw = bytes(data[value : value + min(length or 0, _MAX_UID_BYTES)])
    return raw.decode("ascii", "replace").strip("\0 ")


def read_element(data: Buffer, position: int, encoding: _Encoding = EXPLICIT_LITTLE) -> Element:
    """Return the element whose header begins at `position`. Raises OutOfBounds."""
    return Element(*_read(data, position, encoding))


def _read(data: Buffer, position: int, encoding: _Encoding) -> _Fields:
    try:
        group, number, vr, length = encoding.header(data, position)
        value = position + 8
        if not encoding.explicit or group == 0xFFFE:
            vr = b""
            (length,) = encoding.long(data, position + 4)
        elif vr in _LONG_VRS:
            value = position + 12
            (length,) = encoding.long(data, position + 8)
        elif vr not in _SHORT_VRS and not (vr.isalpha() and vr.isupper()):
            raise OutOfBounds
    except struct.error:
        raise OutOfBounds from None
    tag = group << 16 | number
    if length == _UNDEFINED:
        return tag, vr, position, value, None
    if value + length > len(data):
        raise OutOfBounds
    return tag, vr, position, value, length


def _top_level(data: Buffer, start: int, encoding: _Encoding) -> Iterator[_Fields]:
    """Yield each element that is not inside a sequence, as far as the steps reach."""
    position, steps = start, _MAX_STEPS
    end = len(data)
    while position < end and steps > 0:
        element = _read(data, position, encoding)
        tag, _, _, value, length = element
        if tag >> 16 == _DELIMITERS or tag >> 16 < _FIRST_GROUP:
            raise OutOfBounds
        yield element
        if length is None:
            position, steps = _skip(data, Element(*element), encoding, steps)
        else:
            position, steps = value + length, steps - 1


def _skip(data: Buffer, opening: Element, encoding: _Encoding, steps: int) -> tuple[int, int]:
    """Return where the value of undefined length ends, and the steps that are left.

    `stack` has one encoding for each open sequence and for each open item in turn: an even depth
    means that elements follow, an odd one that items do. UN of undefined length holds implicit VR
    (PS3.5 section 6.2.2).
    """
    stack = [_inside(opening, encoding)]
    position = opening.value
    while stack and steps > 0:
        steps -= 1
        element = read_element(data, position, stack[-1])
        position = element.value + (element.length or 0)
        expects_items = len(stack) % 2 == 1
        if element.tag == (_SEQUENCE_END if expects_items else _ITEM_END):
            stack.pop()
        elif (element.tag == ITEM) is not expects_items:
            raise OutOfBounds
        elif element.length is None:
            stack.append(_inside(element, stack[-1]))
            if len(stack) > 2 * _MAX_DEPTH:
                raise MalformedDataSet(Fault.NOT_DICOM, "sequences are nested too deeply")
    return position, steps


def _inside(element: Element, encoding: _Encoding) -> _Encoding:
    return _IMPLICIT_LITTLE if element.vr == b"UN" else encoding
