"""The attributes of a data set that pipelines and drift may read: short, no names, no pixels."""

from collections.abc import Iterator, Sequence

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import Tag

from appliance.core.model import Attributes, AttributeValue

_NUMBERS = frozenset({"DS", "IS", "FD", "FL", "SL", "SS", "UL", "US"})
_TEXTS = frozenset({"AE", "AS", "CS", "DA", "DT", "LO", "SH", "ST", "TM", "UI"})
_PATIENT_MODULE = 0x0010
_ALLOWED_OF_PATIENT = frozenset({"PatientAge", "PatientSex"})
_MAX_VALUES = 16


def attributes_of(dataset: Dataset) -> Attributes:
    """Return the public numbers and short texts of `dataset` by keyword.

    An enhanced object's shared functional groups are flattened into it (PS3.3 C.7.6.16): there
    stand what classic objects have on top. Of the patient module only age and sex are taken.
    """
    found: dict[str, tuple[AttributeValue, ...]] = {}
    for group in dataset.get("SharedFunctionalGroupsSequence") or ():
        for element in group:
            for item in element.value if element.VR == "SQ" else ():
                found.update(_plain(item))
    found.update(_plain(dataset))
    return found


def shared_attributes(datasets: Sequence[Dataset]) -> Attributes:
    """Return the attributes that are the same in all `datasets`.

    Elements are compared as they were read, undecoded: decoding every element of a few hundred
    headers takes longer than decoding their pixels.
    """
    first, *others = datasets
    return {
        keyword: values
        for keyword, values in attributes_of(first).items()
        if all(_same(first, other, keyword) for other in others)
    }


def _same(first: Dataset, other: Dataset, keyword: str) -> bool:
    tag = Tag(keyword)
    if tag not in first:  # flattened from a functional group
        return attributes_of(first)[keyword] == attributes_of(other).get(keyword)
    if tag not in other:
        return False
    one, two = first.get_item(tag, keep_deferred=True), other.get_item(tag, keep_deferred=True)
    if isinstance(one, RawDataElement) and isinstance(two, RawDataElement):
        return bool(one.value == two.value)
    return bool(first[tag].value == other[tag].value)


def _plain(dataset: Dataset) -> Iterator[tuple[str, tuple[AttributeValue, ...]]]:
    for element in dataset:
        if element.keyword and _allowed(element):
            values = _values(element)
            if values is not None:
                yield element.keyword, values


def _allowed(element: DataElement) -> bool:
    if element.tag.group == _PATIENT_MODULE:
        return element.keyword in _ALLOWED_OF_PATIENT
    return element.VR in _NUMBERS or element.VR in _TEXTS


def _values(element: DataElement) -> tuple[AttributeValue, ...] | None:
    if element.is_empty:
        return ()
    values = (
        list(element.value) if isinstance(element.value, MultiValue | list) else [element.value]
    )
    if len(values) > _MAX_VALUES:
        return None
    if element.VR in _NUMBERS:
        try:
            return tuple(float(value) for value in values)
        except ValueError:
            return None  # written wrongly: as good as absent
    return tuple(str(value) for value in values)
