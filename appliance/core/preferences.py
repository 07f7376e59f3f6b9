"""Preferences as data: which of several fitting series a pipeline's input takes.

`prefer:` of a pipeline's input is a list; an earlier entry outweighs all later ones:

    prefer:
      - {meets: {ImageType: {in: [ORIGINAL]}}}   # series that meet a condition come first
      - {lowest: SliceThickness}                 # the thinnest; without a value comes last
      - {highest: MagneticFieldStrength}
      - {most: images}                           # or {fewest: images}; frames count

Where all entries leave a tie, the lowest series number wins, then the series UID: always the
same series, however the images came. Choosing is `appliance.routing`'s job.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from appliance.core.conditions import Condition, attribute_key, attributes_in, parse_condition

_FORMS = "meets: {…}, lowest: KEYWORD, highest: KEYWORD, most: images, fewest: images"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extreme:
    """The lowest or highest number first; a series without one comes last."""

    attribute: str
    highest: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Meets:
    """Series that meet the condition first."""

    condition: Condition


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCount:
    """The most or the fewest images (frames) first."""

    most: bool


Preference = Extreme | Meets | ImageCount


def parse_preferences(data: object) -> tuple[Preference, ...]:
    """Return the preferences of a `prefer:` list, strongest first. Raises ValueError."""
    if not isinstance(data, list):
        raise ValueError(f"prefer: wants a list; each entry is one of {_FORMS}")
    return tuple(parse_preference(item) for item in data)


def parse_preference(data: object) -> Preference:
    """Return the preference that one list entry writes. Raises ValueError."""
    if not isinstance(data, Mapping) or len(data) != 1:
        raise ValueError(f"write one of {_FORMS}")
    key, value = next((str(key), value) for key, value in data.items())
    if key == "meets":
        return Meets(condition=parse_condition(value))
    if key in ("lowest", "highest"):
        return Extreme(attribute=attribute_key(str(value)), highest=key == "highest")
    if key in ("most", "fewest"):
        if value != "images":
            raise ValueError(f"{key}: counts images; write {key}: images")
        return ImageCount(most=key == "most")
    raise ValueError(f"{key!r} is no preference; write one of {_FORMS}")


def attributes_in_preference(preference: Preference) -> frozenset[str]:
    """Return every attribute that the preference reads."""
    match preference:
        case Extreme():
            return frozenset({preference.attribute})
        case Meets():
            return attributes_in(preference.condition)
        case ImageCount():
            return frozenset()
