"""How many images a series ought to have, as its own images announce (pure)."""

from collections import defaultdict

from appliance.core.model import Attributes, InstanceSummary, SeriesSummary


def announced_images(series: SeriesSummary) -> int | None:
    """Return how many images (frames) the headers announce; None where they say nothing.

    Images in Acquisition (0020,1002) counts the images of one acquisition, and In-concatenation
    Total Number (0020,9163) the instances of a multi-frame image that was cut into parts. A
    number below what is here is wrong and says nothing.
    """
    by_acquisition = _announced(series, "AcquisitionNumber", "ImagesInAcquisition")
    by_concatenation = _announced(series, "ConcatenationUID", "InConcatenationTotalNumber")
    expected = [
        total
        for total, here in (
            (by_acquisition, sum(one.number_of_frames for one in series.instances)),
            (by_concatenation, len(series.instances)),
        )
        if total is not None and total >= here
    ]
    return max(expected, default=None)


def _announced(series: SeriesSummary, part: str, total: str) -> int | None:
    """Return the sum of what each part of the series announces; None if a part does not."""
    parts: defaultdict[object, list[int | None]] = defaultdict(list)
    for instance in series.instances:
        parts[instance.attributes.get(part)].append(_count(instance, total))
    totals = [_one_total(numbers) for numbers in parts.values()]
    known = [number for number in totals if number is not None]
    return sum(known) if known and len(known) == len(totals) else None


def _one_total(numbers: list[int | None]) -> int | None:
    different = set(numbers)
    return different.pop() if len(different) == 1 else None


def _count(instance: InstanceSummary, keyword: str) -> int | None:
    attributes: Attributes = instance.attributes
    values = attributes.get(keyword) or ()
    number = values[0] if values else None
    return int(number) if isinstance(number, float) and 1 <= number < 10**6 else None
