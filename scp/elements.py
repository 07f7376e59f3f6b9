"""Data sets of DIMSE-N messages, read from untrusted bytes: bounded, and errors are statuses.

Statuses are those of PS3.7 annex C.
"""

import struct
from collections.abc import Iterator
from enum import IntEnum
from io import BytesIO

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.filereader import read_dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

from appliance.core.errors import BadInstance
from appliance.core.uids import is_usable_uid
from scp.head import MalformedDataSet, verify_structure

MOST_ITEMS = 50_000
"""Items of sequences in one message. Each costs time to read; one reference is one item."""

_ITEMS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")  # (FFFE,E000), little and big endian

# Everything that pydicom raises on what is no data set, or a broken one. (OSError: for items;
# no disk is read here.)
_UNREADABLE = (
    EOFError, ValueError, TypeError, LookupError, AttributeError, NotImplementedError, OSError,
    OverflowError, BytesLengthException, RecursionError, MemoryError, struct.error, Warning,
)  # fmt: skip


class NStatus(IntEnum):
    """Statuses of DIMSE-N responses. PS3.7 annex C."""

    SUCCESS = 0x0000
    INVALID_VALUE = 0x0106  # Invalid Attribute Value
    FAILURE = 0x0110  # Processing failure
    DUPLICATE = 0x0111  # Duplicate SOP Instance
    NO_SUCH_INSTANCE = 0x0112  # No such SOP Instance
    INVALID_ARGUMENT = 0x0115  # of an action
    INVALID_INSTANCE = 0x0117  # Invalid SOP Instance: its UID is none
    MISSING_ATTRIBUTE = 0x0120
    MISSING_VALUE = 0x0121  # the attribute is there and empty
    NO_SUCH_ACTION = 0x0123
    NOT_AUTHORISED = 0x0124
    RESOURCES = 0x0213  # Resource limitation


class Unacceptable(BadInstance):
    """A data set that cannot be used, and the status that says so to the peer.

    The text is ours: it quotes nothing of the data set.
    """

    def __init__(self, status: NStatus, comment: str) -> None:
        super().__init__(comment)
        self.status = status
        self.comment = comment


def parse(data_set: bytes, transfer_syntax_uid: str) -> Dataset:
    """Return the data set; values are not decoded before they are asked for.

    Raises Unacceptable.
    """
    if sum(map(data_set.count, _ITEMS)) > MOST_ITEMS:
        raise Unacceptable(NStatus.RESOURCES, "too many sequence items")
    syntax = UID(transfer_syntax_uid)
    try:
        verify_structure(data_set, 0, transfer_syntax_uid)
        return read_dataset(
            BytesIO(data_set),
            is_implicit_VR=syntax.is_implicit_VR,
            is_little_endian=syntax.is_little_endian,
            bytelength=len(data_set),
        )
    except (*_UNREADABLE, MalformedDataSet):
        raise _unreadable() from None


def texts_of(dataset: Dataset, keyword: str) -> tuple[str, ...] | None:
    """Return the values of a UI, CS or SH element; None where it is absent. Raises Unacceptable."""
    try:
        element = dataset.get_item(_tag(keyword)) if _tag(keyword) in dataset else None
    except _UNREADABLE:  # what is empty is decoded at once
        raise _unreadable() from None
    if element is None:
        return None
    value = element.value or b""
    if not isinstance(value, bytes):
        raise Unacceptable(NStatus.INVALID_VALUE, f"{keyword} is no text")
    return tuple(part.strip("\0 ") for part in value.decode("ascii", "replace").split("\\"))


def text_of(dataset: Dataset, keyword: str) -> str:
    """Return an element's first value, which must be there. Raises Unacceptable."""
    values = texts_of(dataset, keyword)
    if values is None:
        raise Unacceptable(NStatus.MISSING_ATTRIBUTE, f"{keyword} is missing")
    if not values[0]:
        raise Unacceptable(NStatus.MISSING_VALUE, f"{keyword} is empty")
    return values[0]


def uid_of(dataset: Dataset, keyword: str) -> str:
    """Return an element's UID, which must be there and usable. Raises Unacceptable."""
    uid = text_of(dataset, keyword)
    if not is_usable_uid(uid):
        raise Unacceptable(NStatus.INVALID_VALUE, f"{keyword} is not a UID")
    return uid


def items_of(dataset: Dataset, keyword: str) -> Iterator[Dataset]:
    """Yield the items of a sequence; none where it is absent or empty. Raises Unacceptable."""
    try:
        value = dataset[keyword].value if _tag(keyword) in dataset else None
    except _UNREADABLE:
        raise _unreadable() from None
    if value and not isinstance(value, Sequence):
        raise Unacceptable(NStatus.INVALID_VALUE, f"{keyword} is no sequence")
    yield from value or ()


def _tag(keyword: str) -> BaseTag:
    return Tag(tag_for_keyword(keyword) or 0)


def _unreadable() -> Unacceptable:
    return Unacceptable(NStatus.FAILURE, "the data set cannot be read")
