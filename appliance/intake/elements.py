"""Elements of a data set → `Attributes`, whatever a peer wrote into them.

Enhanced multi-frame objects keep in functional groups what classic ones have at the top
(PS3.3 C.7.6.16). What is the same for all frames stands here under the classic keyword, so that
one rule serves both: SliceThickness, PixelSpacing, ImageOrientationPatient, EchoTime, …
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain

from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag

from appliance.core.model import Attributes, AttributeValue

_NUMBERS = frozenset({"DS", "IS", "FD", "FL", "SL", "SS", "UL", "US", "SV", "UV"})
_BULK = frozenset({"OB", "OD", "OF", "OL", "OV", "OW"})
_LONGEST = 1024  # letters of one value
_MOST = 64  # values of one element
_BLOCKS = range(0x10, 0x100)  # private creators (PS3.5 section 7.8.1)
_MALFORMED = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    IndexError,
    OverflowError,
    BytesLengthException,
)

SHARED_GROUPS = "SharedFunctionalGroupsSequence"
FRAME_GROUPS = "PerFrameFunctionalGroupsSequence"
_CONTRAST = "ContrastBolusAgentSequence"
ELSEWHERE = (SHARED_GROUPS, FRAME_GROUPS, _CONTRAST)
"""Sequences whose content stands for attributes of the top level."""
_OF_ONE_FRAME = frozenset({"ImagePositionPatient", "InStackPositionNumber", "DimensionIndexValues"})
_CLASSIC = {"EffectiveEchoTime": "EchoTime", "FrameType": "ImageType"}


def tags_to_read(names: Iterable[str]) -> list[BaseTag]:
    """Return the tags that hold these attributes, wherever an object may keep them."""
    tags = [tags_of(name) for name in (*names, *ELSEWHERE)]
    return list(dict.fromkeys(chain.from_iterable(tags)))


def tags_of(name: str) -> Iterator[BaseTag]:
    """Yield the tags on which an attribute's values depend: for a private one, all its blocks."""
    tag = tag_for_keyword(name)
    if tag is not None:
        yield Tag(tag)
        return
    group, element, _ = _private(name)
    for block in _BLOCKS:
        yield Tag(group, block)
        yield Tag(group, block << 8 | element)


def _private(name: str) -> tuple[int, int, str]:
    return int(name[:4], 16), int(name[5:7], 16), name[8:]


def attributes_of(dataset: Dataset, names: Iterable[str]) -> Attributes:
    """Return what the data set has of these attributes; what it lacks has no entry."""
    return with_deeper(names, lambda name: values_of(dataset, name), deeper_attributes(dataset))


def with_deeper(
    names: Iterable[str],
    value_of: Callable[[str], tuple[AttributeValue, ...] | None],
    deeper: Attributes,
) -> Attributes:
    """Return the attributes of the top level; `deeper` fills in what is absent or empty there."""
    found: dict[str, tuple[AttributeValue, ...]] = {}
    for name in names:
        own = value_of(name)
        values = own or deeper.get(name, own)
        if values is not None:
            found[name] = values
    return found


def values_of(dataset: Dataset, name: str) -> tuple[AttributeValue, ...] | None:
    """Return an element's values; () where it is empty, None where it is absent."""
    tag = tag_for_keyword(name)
    where = _private_tag(dataset, name) if tag is None else Tag(tag)
    if where is None or where not in dataset:
        return None
    return _element_values(dataset, where)


def _private_tag(dataset: Dataset, name: str) -> BaseTag | None:
    group, element, creator = _private(name)
    for block in _BLOCKS:
        reserved = Tag(group, block)
        if reserved in dataset and _element_values(dataset, reserved) == (creator,):
            return Tag(group, block << 8 | element)
    return None


def _element_values(dataset: Dataset, tag: BaseTag) -> tuple[AttributeValue, ...]:
    try:
        return tuple(_values(dataset[tag]))
    except _MALFORMED:
        return ("unreadable",)  # there, but of no use: no number and no text equals it


def _values(element: DataElement) -> Iterator[AttributeValue]:
    value = element.value
    if isinstance(value, Sequence):
        yield from (f"item {number}" for number in range(1, min(len(value), _MOST) + 1))
    elif element.VR in _BULK:
        yield from ["binary"] if value else []
    elif isinstance(value, bytes):
        yield from _unknown(value)
    elif value is not None and value != "":
        several = value if isinstance(value, MultiValue | list) else [value]
        for one in several[:_MOST]:
            if one is not None and one != "":
                yield _value(element.VR, one)


def _value(vr: str, value: object) -> AttributeValue:
    if vr in _NUMBERS:
        return float(str(value))
    return storable(str(value))[:_LONGEST].strip()


def storable(text: str) -> str:
    """Return the text without what no database takes: NUL characters and halves of surrogates."""
    text = text.replace("\0", "")
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _unknown(value: bytes) -> Iterator[AttributeValue]:
    """Yield the values of an element of unknown VR: as text, if that is what it looks like."""
    text = value[: _LONGEST * 4].decode("latin-1").strip(" \0")
    if text:
        printable = text.isascii() and text.isprintable()
        yield from (part.strip() for part in text.split("\\")[:_MOST]) if printable else ("binary",)


def deeper_attributes(dataset: Dataset) -> Attributes:
    """Return what the sequences ELSEWHERE say of the whole object, by classic keyword."""
    found: dict[str, tuple[AttributeValue, ...]] = {}
    frames = [_leaves(item) for item in _items(dataset, FRAME_GROUPS)]
    if frames:
        first, rest = frames[0], frames[1:]
        found |= {
            key: value for key, value in first.items() if all(f.get(key) == value for f in rest)
        }
    for item in _items(dataset, SHARED_GROUPS):
        found |= _leaves(item)
    found |= {_CLASSIC[key]: value for key, value in found.items() if key in _CLASSIC}
    agents = _contrast_agents(dataset)
    return found | ({"ContrastBolusAgent": agents} if agents else {})


def _leaves(groups: Dataset) -> Mapping[str, tuple[AttributeValue, ...]]:
    """Return the standard elements one level down: each macro is a sequence of one item."""
    found: dict[str, tuple[AttributeValue, ...]] = {}
    for tag in groups.keys():  # noqa: SIM118 - iterating a Dataset converts every value
        if tag.is_private:
            continue
        for item in _items(groups, tag):
            for inner in item.keys():  # noqa: SIM118
                element = None if inner.is_private else _element(item, inner)
                if element is not None and element.keyword not in _OF_ONE_FRAME:
                    found[element.keyword] = _element_values(item, inner)
    return found


def _element(dataset: Dataset, tag: BaseTag) -> DataElement | None:
    try:
        element = dataset[tag]
    except _MALFORMED:
        return None
    return None if element.VR == "SQ" or not element.keyword else element


def _items(dataset: Dataset, where: str | BaseTag) -> tuple[Dataset, ...]:
    try:
        value = dataset[where].value if where in dataset else None
    except _MALFORMED:
        return ()
    return tuple(value) if isinstance(value, Sequence) else ()


def _contrast_agents(dataset: Dataset) -> tuple[AttributeValue, ...]:
    """Return the agents of the sequence: enhanced objects name contrast nowhere else."""
    return tuple(
        (values_of(item, "CodeMeaning") or ("unnamed agent",))[0]
        for item in _items(dataset, _CONTRAST)
    )
