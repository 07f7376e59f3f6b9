"""What several pipelines ask of a series' attributes before they compute anything. Pure.

An attribute that is absent refuses nothing: scanners leave many out. Where it matters to the
reader that something was not known, a note says so.
"""

import re
from collections.abc import Iterator

from appliance.core.model import Attributes

ADULT_YEARS = 18
# Said where there is no contrast agent, instead of the agent.
NO_CONTRAST = frozenset({"NO", "NONE", "N", "NO CONTRAST", "WITHOUT", "NATIVE"})
_IMAGE_TYPES = {
    "LOCALIZER": "a localiser",
    "PROJECTION IMAGE": "a projection",
    "MIP": "a projection",
    "MAX_IP": "a projection",
    "MIN_IP": "a projection",
    "MINIP": "a projection",
}
_AGE = re.compile(r"(\d{1,3})([DWMY])")
_PER_YEAR = {"D": 365.25, "W": 52.18, "M": 12.0, "Y": 1.0}


def texts(attributes: Attributes, *keywords: str) -> tuple[str, ...]:
    """Return the values of `keywords` as text, those of the first keyword first."""
    return tuple(str(value) for keyword in keywords for value in attributes.get(keyword, ()))


def numbers(attributes: Attributes, *keywords: str) -> tuple[float, ...]:
    """Return the values of `keywords` that are numbers."""
    return tuple(
        value
        for keyword in keywords
        for value in attributes.get(keyword, ())
        if isinstance(value, float)
    )


def years(attributes: Attributes) -> float | None:
    """Return the patient's age, None where it is not known."""
    for text in texts(attributes, "PatientAge"):
        match = _AGE.fullmatch(text.strip())
        if match:
            return int(match[1]) / _PER_YEAR[match[2]]
    return None


def not_an_adult(attributes: Attributes) -> Iterator[str]:
    """Yield why a series is of no adult; nothing where the age is not known."""
    found = years(attributes)
    if found is not None and found < ADULT_YEARS:
        yield f"the patient is younger than {ADULT_YEARS} years; the model was made for adults"


def not_as_acquired(attributes: Attributes) -> Iterator[str]:
    """Yield why the images are no slices of a volume."""
    for value in texts(attributes, "ImageType"):
        if value.upper() in _IMAGE_TYPES:
            yield f"the images are {_IMAGE_TYPES[value.upper()]}; a volume as acquired is needed"
