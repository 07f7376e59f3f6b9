"""Headers of many files, fast: elements are taken as bytes, and bytes are decoded once.

The images of a study share nearly all that is asked of them. So the bytes of an element are the
key to what they mean, and pydicom, which alone decodes, sees only what is new. One walk over the
file finds the elements, and whether the file is whole.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import TypeVar

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from appliance.core.model import Attributes, AttributeValue
from appliance.intake.elements import (
    ELSEWHERE,
    deeper_attributes,
    tags_of,
    values_of,
    with_deeper,
)
from appliance.intake.headers import (
    IDENTITY,
    Header,
    header_of,
    names_appliance,
    unreadable_is_bad,
    wanted,
)
from scp.head import Buffer, find_elements, value_end
from scp.spool import Spool, SpoolFile

_T = TypeVar("_T")
_OWNERSHIP = ("DeviceUID", "ContributingEquipmentSequence")
_CONTEXT = ("SpecificCharacterSet", "PixelRepresentation")  # how others are decoded
_LONGEST = 4096  # bytes that are remembered
# With an explicit VR and a length of two bytes: what differs in each image, and is simple.
_UID = re.compile(rb".{4}UI..([0-9.]{1,64})\0?", re.DOTALL)
_NUMBER = re.compile(rb".{4}IS.. *([0-9]{1,9}) *", re.DOTALL)


class Scanner:
    """Reads headers of whole data sets, and remembers what bytes mean."""

    def __init__(self, attributes: Iterable[str], *, capacity: int = 20_000) -> None:
        self.names = tuple(wanted(attributes))
        every = (*self.names, *IDENTITY, *ELSEWHERE, *_CONTEXT)
        self._tags = {name: frozenset(map(int, tags_of(name))) for name in every}
        self._wanted = frozenset[int]().union(*self._tags.values())
        self._capacity = capacity
        self._meanings: dict[tuple[object, ...], object] = {}

    def scan(self, data: Buffer, start: int, transfer_syntax_uid: str) -> Header:
        """Return the header of the data set that begins at `start`.

        Raises MalformedDataSet where the data set is not whole, BadInstance where it says nothing.
        """
        found = find_elements(data, start, transfer_syntax_uid, self._wanted)
        pieces = {
            tag: bytes(data[element.start : value_end(data, element, transfer_syntax_uid)])
            for tag, element in found.items()
        }
        with unreadable_is_bad():
            return header_of(_Scanned(self, pieces, transfer_syntax_uid))

    def pieces_of(self, pieces: dict[int, bytes], *names: str) -> tuple[bytes, ...]:
        """Return those of the pieces on which the values of these elements depend."""
        tags = [tag for name in names for tag in pieces.keys() & self._tags[name]]
        return tuple(pieces[tag] for tag in sorted(tags))

    def meaning(self, key: tuple[object, ...], size: int, find: Callable[[], _T]) -> _T:
        """Return what `find` returned for this key the first time."""
        known = self._meanings.get(key)
        if known is None:
            known = find()
            if size <= _LONGEST:
                if len(self._meanings) >= self._capacity:
                    self._meanings.clear()
                self._meanings[key] = known
        return known  # type: ignore[return-value]


class _Scanned:
    """The values of one file, by the bytes of its elements."""

    def __init__(self, scanner: Scanner, pieces: dict[int, bytes], syntax: str) -> None:
        self._scanner = scanner
        self._pieces = pieces
        self._syntax = syntax
        self._context = scanner.pieces_of(pieces, *_CONTEXT)

    def of(self, name: str) -> tuple[AttributeValue, ...] | None:
        pieces = self._scanner.pieces_of(self._pieces, name)
        if len(pieces) == 1 and self._syntax != ImplicitVRLittleEndian:
            if uid := _UID.fullmatch(pieces[0]):
                return (uid[1].decode(),)
            if number := _NUMBER.fullmatch(pieces[0]):
                return (float(number[1]),)
        return self._meaning(name, pieces, lambda dataset: values_of(dataset, name))

    def attributes(self) -> Attributes:
        elsewhere = self._scanner.pieces_of(self._pieces, *ELSEWHERE)
        deeper = self._meaning("", elsewhere, deeper_attributes) if elsewhere else {}
        return with_deeper(self._scanner.names, self.of, deeper or {})

    def is_own(self) -> bool:
        pieces = self._scanner.pieces_of(self._pieces, *_OWNERSHIP)
        return bool(pieces and self._meaning("own", pieces, names_appliance))

    def _meaning(
        self, what: str, pieces: tuple[bytes, ...], read: Callable[[Dataset], _T]
    ) -> _T | None:
        """Return what `read` makes of the pieces; None where there are none."""
        if not pieces:
            return None
        key = (what, self._syntax, self._context, pieces)
        return self._scanner.meaning(
            key, sum(map(len, pieces)), lambda: read(self._dataset(pieces))
        )

    def _dataset(self, pieces: tuple[bytes, ...]) -> Dataset:
        content = b"".join((*self._context, *pieces))
        return read_dataset(
            BytesIO(content),
            is_implicit_VR=self._syntax == ImplicitVRLittleEndian,
            is_little_endian=self._syntax != ExplicitVRBigEndian,
            bytelength=len(content),
        )


class HeaderCache:
    """Headers by name in the spool; the least lately used go first."""

    def __init__(self, attributes: Iterable[str], *, capacity: int = 20_000) -> None:
        self._scanner = Scanner(attributes, capacity=capacity)
        self._capacity = capacity
        self._headers: OrderedDict[str, Header] = OrderedDict()

    def read(self, name: str, spool: Spool) -> Header:
        """Return the header of the file `name`. Raises as `take` and Spool.opened do.

        Also for one that is known: a study whose file is gone is not whole.
        """
        header = self._headers.get(name)
        if header is None:
            with spool.opened(name) as file:
                return self.take(file)
        spool.path(name)
        self._headers.move_to_end(name)
        return header

    def take(self, file: SpoolFile) -> Header:
        """Return the header of an open file, and keep it.

        Raises MalformedDataSet where the data set is not whole, BadInstance where it says nothing.
        """
        received = file.received
        header = self._scanner.scan(file.data, file.start, received.transfer_syntax_uid)
        self._headers[received.spool_name] = header
        if len(self._headers) > self._capacity:
            self._headers.popitem(last=False)
        return header
