"""Which of several fitting series becomes an input, and why this one."""

import math
from collections.abc import Mapping, Sequence

from appliance.core.model import SeriesSummary
from appliance.core.preferences import (
    Extreme,
    ImageCount,
    Meets,
    Preference,
    attributes_in_preference,
)
from appliance.routing.evaluate import distinct_images, series_meets
from appliance.routing.values import clean, number
from appliance.routing.wording import is_withheld, text

Rank = tuple[float, ...]


def series_order(series: SeriesSummary) -> tuple[float, str]:
    """Return the key of the fixed last word: series number, then UID."""
    numbers = clean(series.attributes.get("SeriesNumber"))
    found = number("SeriesNumber", numbers[0]) if numbers else None
    return (math.inf if found is None else found, series.series_instance_uid)


def ranked(
    series: Sequence[SeriesSummary], prefer: Sequence[Preference]
) -> tuple[SeriesSummary, ...]:
    """Return the series, best first."""
    return tuple(sorted(series, key=lambda one: (_rank(one, prefer), series_order(one))))


def _rank(series: SeriesSummary, prefer: Sequence[Preference]) -> Rank:
    return tuple(_place(series, preference) for preference in prefer)


def _place(series: SeriesSummary, preference: Preference) -> float:
    """Return where the preference puts the series: less is better."""
    match preference:
        case Meets():
            return 0 if series_meets(preference.condition, series) else 1
        case ImageCount():
            return -image_count(series) if preference.most else image_count(series)
        case Extreme():
            return _extreme(series, preference)


def image_count(series: SeriesSummary) -> int:
    """Return the series' images; each frame of a multi-frame object counts."""
    return sum(instance.number_of_frames for instance in series.instances)


def _extreme(series: SeriesSummary, preference: Extreme) -> float:
    """Return the number of the series' worst image, signed so that less is better."""
    found = [
        number(preference.attribute, value)
        for image in distinct_images(series, attributes_in_preference(preference))
        for value in clean(image.get(preference.attribute))
    ]
    sign = -1 if preference.highest else 1
    return max((sign * value for value in found if value is not None), default=math.inf)


def why_best(
    best: SeriesSummary, others: Sequence[SeriesSummary], prefer: Sequence[Preference]
) -> str:
    """Return why `best` was taken and none of the `others` that fit as well."""
    if not others:
        return "the only series that fits"
    second = ranked(others, prefer)[0]
    opening = f"best of {len(others) + 1} series that fit: "
    for preference in prefer:
        mine, its = _place(best, preference), _place(second, preference)
        if mine != its:
            return opening + _reason(preference, mine, its)
    if series_order(best)[0] != series_order(second)[0]:
        return opening + "no preference tells them apart, the lower series number decides"
    return opening + "no preference tells them apart, the lower series UID decides"


def _reason(preference: Preference, mine: float, its: float) -> str:
    match preference:
        case Meets():
            return f"it meets {text(preference.condition)}"
        case ImageCount():
            which = "most" if preference.most else "fewest"
            return f"{which} images ({abs(mine):g}, not {abs(its):g})"
        case Extreme():
            which = "highest" if preference.highest else "lowest"
            if is_withheld(preference.attribute):
                return f"{which} {preference.attribute}"
            return f"{which} {preference.attribute} ({abs(mine):g}, not {_other(its)})"


def _other(place: float) -> str:
    return "absent" if math.isinf(place) else f"{abs(place):g}"


def assign(wanted: Mapping[str, Sequence[str]]) -> Mapping[str, str]:
    """Return one series for each input, no series twice, as many inputs as can be filled.

    `wanted` has each input's series, best first, the most important input first. An input gets
    its best series unless an earlier one took it or a later one could then get none.
    """
    room = _matching(wanted)
    taken: dict[str, str] = {}
    for name, options in wanted.items():
        for option in options:
            if option in taken.values():
                continue
            trial = {key: list(value) for key, value in wanted.items()} | {
                key: [value] for key, value in taken.items()
            }
            if len(_matching(trial | {name: [option]})) == len(room):
                taken[name] = option
                break
    return taken


def _matching(wanted: Mapping[str, Sequence[str]]) -> Mapping[str, str]:
    """Return a largest assignment (augmenting paths), by series."""
    by_series: dict[str, str] = {}

    def place(name: str, seen: set[str]) -> bool:
        for series in wanted[name]:
            if series in seen:
                continue
            seen.add(series)
            if series not in by_series or place(by_series[series], seen):
                by_series[series] = name
                return True
        return False

    for name in wanted:
        place(name, set())
    return by_series
