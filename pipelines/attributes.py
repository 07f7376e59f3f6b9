"""The attributes of a data set that pipelines and drift may read: short, no names, no pixels."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag

from appliance.core.model import Attributes, AttributeValue

_NUMBERS = frozenset({"DS", "IS", "FD", "FL", "SL", "SS", "UL", "US"})
_TEXTS = frozenset({"AE", "AS", "CS", "DA", "DT", "LO", "SH", "ST", "TM", "UI"})
_PATIENT_MODULE = 0x0010
_ALLOWED_OF_PATIENT = frozenset({"PatientAge", "PatientSex"})
_MAX_VALUES = 16
# What is told by other elements where it is not written itself, and by which.
_TOLD_BY: Mapping[str, tuple[str, ...]] = {
    "PatientAge": ("PatientBirthDate", "StudyDate"),
    "ContrastBolusAgent": ("ContrastBolusAgentSequence",),
}
_AGE = re.compile(r"\d{3}[DWMY]")
_OLDEST = 130  # years; a birth date before that is a stand-in for none


def attributes_of(dataset: Dataset) -> Attributes:
    """Return the public numbers and short texts of `dataset` by keyword.

    What an enhanced object's functional groups say of all its frames is flattened into it
    (PS3.3 C.7.6.16): there stands what classic objects have on top. Of the patient module only
    age and sex are taken; an age that is not written is told by the birth date, a contrast agent
    by its codes.
    """
    found = dict(_of_all_frames(dataset.get("PerFrameFunctionalGroupsSequence") or ()))
    for group in dataset.get("SharedFunctionalGroupsSequence") or ():
        for element in group:
            for item in element.value if element.VR == "SQ" else ():
                found.update(_plain(item))
    found.update(_plain(dataset))
    found.update(_told(dataset, found))
    return found


def _of_all_frames(
    frames: Sequence[Dataset],
) -> Iterator[tuple[str, tuple[AttributeValue, ...]]]:
    """Yield what the functional groups of every frame say alike."""
    for group in frames[0] if frames else ():
        for item in (group.value or ())[:1] if group.VR == "SQ" else ():
            for keyword, values in _plain(item):
                if all(_in_group(other, group.tag, keyword) == values for other in frames[1:]):
                    yield keyword, values


def _in_group(groups: Dataset, tag: BaseTag, keyword: str) -> tuple[AttributeValue, ...] | None:
    items = groups[tag].value if tag in groups else ()
    return _values(items[0][keyword]) if items and keyword in items[0] else None


def _told(dataset: Dataset, found: Attributes) -> Iterator[tuple[str, tuple[AttributeValue, ...]]]:
    age = found.get("PatientAge")
    if not age or not _AGE.fullmatch(str(age[0])):
        years = _years(_date(dataset, "PatientBirthDate"), _date(dataset, "StudyDate"))
        if years is not None:
            yield "PatientAge", (f"{years:03}Y",)
    if not found.get("ContrastBolusAgent"):
        agents = dataset.get("ContrastBolusAgentSequence") or ()
        names = tuple(str(agent.get("CodeMeaning") or "agent") for agent in agents)
        if names:
            yield "ContrastBolusAgent", names[:_MAX_VALUES]


def _date(dataset: Dataset, keyword: str) -> date | None:
    digits = re.sub(r"[.\-/ ]", "", str(dataset.get(keyword) or ""))
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return None


def _years(birth: date | None, then: date | None) -> int | None:
    if birth is None or then is None:
        return None
    years = then.year - birth.year - ((then.month, then.day) < (birth.month, birth.day))
    return years if 0 <= years <= _OLDEST else None


def shared_attributes(datasets: Sequence[Dataset]) -> Attributes:
    """Return the attributes that are the same in all `datasets`.

    Elements are compared as they were read, undecoded: decoding every element of a few hundred
    headers takes longer than decoding their pixels.
    """
    first, *others = datasets
    as_read = {tag: first.get_item(tag, keep_deferred=True) for tag in first.keys()}  # noqa: SIM118
    found = attributes_of(first)  # which decodes every element of it
    return {
        keyword: values
        for keyword, values in found.items()
        if all(_same(first, as_read, other, keyword) for other in others)
    }


def _same(
    first: Dataset,
    as_read: Mapping[BaseTag, DataElement | RawDataElement],
    other: Dataset,
    keyword: str,
) -> bool:
    tag = Tag(keyword)
    told_by = [word for word in _TOLD_BY.get(keyword, ()) if word in first]
    if tag not in first and told_by:
        return all(first.get(word) == other.get(word) for word in told_by)
    if tag not in first:  # flattened from a functional group
        return attributes_of(first)[keyword] == attributes_of(other).get(keyword)
    if tag not in other:
        return False
    one, two = as_read.get(tag), other.get_item(tag, keep_deferred=True)
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
            numbers = tuple(float(value) for value in values)
        except ValueError:
            return None  # written wrongly: as good as absent
        return numbers if all(map(math.isfinite, numbers)) else None
    return tuple(str(value) for value in values)
