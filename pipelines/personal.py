"""Which texts tell who somebody is, and how they are kept out of logs and errors."""

from collections.abc import Iterable, Iterator

from pydicom import Dataset

from pipelines.volume import Volume

# Attributes whose values never stand in a log or an error, whatever a pipeline prints.
_PERSONAL = (
    "Patient", "OtherPatient", "IssuerOfPatient", "AccessionNumber", "ReferringPhysician",
    "PerformingPhysician", "PhysiciansOfRecord", "OperatorsName", "RequestingPhysician",
    "InstitutionName", "InstitutionAddress", "ResponsiblePerson",
)  # fmt: skip
_SHORTEST_PERSONAL = 3  # "M" or "42" would blank out half of every line


def personal_values(volumes: Iterable[Volume]) -> frozenset[str]:
    """Return the texts in the volumes' attributes that tell who somebody is."""
    return _parts(
        value
        for volume in volumes
        for keyword, values in volume.attributes.items()
        if keyword.startswith(_PERSONAL)
        for value in values
        if isinstance(value, str)
    )


def personal_values_of(header: Dataset) -> frozenset[str]:
    """Return the texts of a data set that tell who somebody is, people's names among them."""
    return _parts(_personal_texts(header))


def _personal_texts(header: Dataset) -> Iterator[str]:
    for element in header:
        personal = element.VR == "PN" or element.keyword.startswith(_PERSONAL)
        if element.VR == "SQ" and personal:
            for item in element.value:
                yield from _personal_texts(item)
        elif personal:
            values = element.value if element.VM > 1 else [element.value]
            yield from (str(value) for value in values)


def without(secrets: frozenset[str], text: str) -> str:
    """Return `text` with each of `secrets` blanked out, the longest first."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _parts(texts: Iterable[str]) -> frozenset[str]:
    return frozenset(
        part for text in texts for part in _split(text) if len(part) >= _SHORTEST_PERSONAL
    )


def _split(text: str) -> Iterator[str]:
    yield text
    yield from text.replace("=", "^").split("^")
