"""Coded concepts, and our own coding scheme where no standard one has the concept."""

from collections.abc import Iterable, Iterator

from highdicom.sr import CodedConcept
from pydicom import Dataset

from appliance.core import product
from appliance.core.model import Code, CodingScheme, Side

ANATOMICAL_STRUCTURE = Code(value="91723000", scheme="SCT", meaning="Anatomical Structure")
ARTIFICIAL_INTELLIGENCE = Code(value="123110", scheme="DCM", meaning="Artificial Intelligence")
CAD_SUMMARY = Code(value="111017", scheme="DCM", meaning="CAD Processing and Findings Summary")
COMMENT = Code(value="121106", scheme="DCM", meaning="Comment")
DEVICE = Code(value="121007", scheme="DCM", meaning="Device")
ENGLISH = Code(value="en", scheme="RFC5646", meaning="English")
MEASUREMENT_FAILURE = Code(value="114006", scheme="DCM", meaning="Measurement failure")
PROCESSING_EQUIPMENT = Code(value="109102", scheme="DCM", meaning="Processing Equipment")
ACQUISITION_EQUIPMENT = Code(value="109101", scheme="DCM", meaning="Acquisition Equipment")
WITHOUT_FINDINGS = Code(
    value="111241", scheme="DCM", meaning="All algorithms succeeded; without findings"
)

_OWN = CodingScheme(
    designator=product.CODING_SCHEME,
    name=product.CODING_SCHEME_NAME,
    uid=product.CODING_SCHEME_UID,
    responsible=product.MANUFACTURER,
)

LATERALITY = {
    Side.LEFT: Code(value="7771000", scheme="SCT", meaning="Left"),
    Side.RIGHT: Code(value="24028007", scheme="SCT", meaning="Right"),
}

_RADIOGRAPHY = Code(value="43468-8", scheme="LN", meaning="XR unspecified body region")
_PROCEDURES = {
    "CR": _RADIOGRAPHY,
    "CT": Code(value="25045-6", scheme="LN", meaning="CT unspecified body region"),
    "DX": _RADIOGRAPHY,
    "MR": Code(value="25056-3", scheme="LN", meaning="MRI unspecified body region"),
    "NM": Code(value="49118-3", scheme="LN", meaning="NM unspecified body region"),
    "PT": Code(value="44136-0", scheme="LN", meaning="PET unspecified body region"),
}
_IMAGING_PROCEDURE = Code(value="363679005", scheme="SCT", meaning="Imaging procedure")


def concept(code: Code) -> CodedConcept:
    """Return the code as an item of a Code Sequence."""
    return CodedConcept(code.value, code.scheme, code.meaning)


def procedure_reported(modality: str) -> Code:
    """Return the imaging procedure that was analysed, as far as the modality tells it."""
    return _PROCEDURES.get(modality, _IMAGING_PROCEDURE)


def declare_schemes(dataset: Dataset, private: Iterable[CodingScheme]) -> None:
    """Identify the private schemes that the data set uses, ours among them.

    Coding Scheme Identification Sequence (0008,0110), PS3.3 C.12.1.
    """
    used = set(_schemes(dataset))
    items = [_identification(one) for one in (_OWN, *private) if one.designator in used]
    if items:
        dataset.CodingSchemeIdentificationSequence = items


def _identification(scheme: CodingScheme) -> Dataset:
    item = Dataset()
    item.CodingSchemeDesignator = scheme.designator
    item.CodingSchemeUID = scheme.uid
    item.CodingSchemeName = scheme.name
    item.CodingSchemeResponsibleOrganization = scheme.responsible
    return item


def _schemes(dataset: Dataset) -> Iterator[str]:
    for element in dataset:
        if element.keyword == "CodingSchemeDesignator":
            yield str(element.value)
        elif element.VR == "SQ" and element.keyword != "PerFrameFunctionalGroupsSequence":
            for item in element.value:
                yield from _schemes(item)
