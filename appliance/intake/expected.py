"""How many images a series ought to have, as its own images announce (pure)."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from appliance.core.model import Attributes, SeriesSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class LeastCount:
    """An attribute that tells how many images a series has at the least, and who says so."""

    attribute: str
    modality: str = ""  # only of this one
    manufacturer: str = ""  # only where Manufacturer begins so
    source: str


LEAST_COUNTS = (
    LeastCount(
        attribute="NumberOfSlices",
        modality="PT",
        source="PS3.3 C.8.9.1, PET Series: the slices of one time slot, gate or bed position",
    ),
    LeastCount(
        attribute="0025,07 GEMS_SERS_01",
        manufacturer="GE",
        source="Images in Series; the private dictionaries of DCMTK 3.6.7 and pydicom 3",
    ),
    LeastCount(
        attribute="2001,18 Philips Imaging DD 001",
        manufacturer="Philips",
        source="Number of Slices MR; the same dictionaries, and 170 in a head MR of 170 slices",
    ),
)
"""Of original images alone: derived ones inherit the elements and not the number. Siemens has none
in the same dictionaries; there the modality's own list (MPPS) or the PACS must tell."""

COUNT_ATTRIBUTES = frozenset(one.attribute for one in LEAST_COUNTS)


def announced_images(series: SeriesSummary) -> int | None:
    """Return how many images (frames) the headers announce; None where they say nothing.

    Images in Acquisition (0020,1002) counts the images of one acquisition, and In-concatenation
    Total Number (0020,9163) the instances of a multi-frame image that was cut into parts. A
    number below what is here is wrong and says nothing.
    """
    by_acquisition = _announced(series, "AcquisitionNumber", "ImagesInAcquisition")
    by_concatenation = _announced(series, "ConcatenationUID", "InConcatenationTotalNumber")
    images = sum(one.number_of_frames for one in series.instances)
    expected = [
        total
        for total, here in (
            (by_acquisition, images),
            (by_concatenation, len(series.instances)),
            *((least, images) for least in _at_least(series)),
        )
        if total is not None and total >= here
    ]
    return max(expected, default=None)


def _at_least(series: SeriesSummary) -> Iterator[int | None]:
    if not all(_is_original(one.attributes) for one in series.instances):
        return
    for one in LEAST_COUNTS:
        maker = _text(series.attributes, "Manufacturer").upper()
        fits = one.modality in {"", _text(series.attributes, "Modality")}
        if fits and maker.startswith(one.manufacturer.upper()):
            yield _count(series.attributes, one.attribute)


def _is_original(attributes: Attributes) -> bool:
    return attributes.get("ImageType", ())[:2] == ("ORIGINAL", "PRIMARY")


def _text(attributes: Attributes, keyword: str) -> str:
    values = attributes.get(keyword) or ("",)
    return str(values[0])


def _announced(series: SeriesSummary, part: str, total: str) -> int | None:
    """Return the sum of what each part of the series announces; None if a part does not."""
    parts: defaultdict[object, list[int | None]] = defaultdict(list)
    for instance in series.instances:
        parts[instance.attributes.get(part)].append(_count(instance.attributes, total))
    totals = [_one_total(numbers) for numbers in parts.values()]
    known = [number for number in totals if number is not None]
    return sum(known) if known and len(known) == len(totals) else None


def _one_total(numbers: list[int | None]) -> int | None:
    different = set(numbers)
    return different.pop() if len(different) == 1 else None


def _count(attributes: Attributes, keyword: str) -> int | None:
    values = attributes.get(keyword) or ()
    number = values[0] if values else None
    return int(number) if isinstance(number, float) and 1 <= number < 10**6 else None
