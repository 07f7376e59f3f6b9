"""What is refused by its attributes, before anything is computed, and what a reader should know."""

from collections.abc import Iterator

from appliance.core.model import Attributes
from pipelines.checks import not_an_adult, not_as_acquired, texts, years


def refusals(modality: str, attributes: Attributes) -> tuple[str, ...]:
    """Return every reason for which a series is not a CT of an adult in Hounsfield units."""
    if modality != "CT":
        return (f"the modality is {modality or 'not known'}; CT is needed",)
    return tuple(
        reason
        for check in (not_an_adult, not_as_acquired, _not_in_hu)
        for reason in check(attributes)
    )


def notes(attributes: Attributes) -> tuple[str, ...]:
    """Return what the reader should know was not known."""
    if years(attributes) is None:
        return ("The patient's age is not in the images; the pipeline was made for adults.",)
    return ()


def _not_in_hu(attributes: Attributes) -> Iterator[str]:
    """Yield why values are no Hounsfield units; absent means that they are (PS3.3 C.8.2.1.1.2)."""
    for unit in texts(attributes, "RescaleType"):
        if unit.strip().upper() not in ("", "HU"):
            yield f"the values are in {unit}, not in Hounsfield units (Rescale Type)"
