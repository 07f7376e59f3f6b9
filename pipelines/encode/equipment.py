"""Who made an object: the appliance in General Equipment, the model beside it.

The appliance is the Evidence Creator; the model is an item of Contributing Equipment (IHE AIR
6.5.3.1). `Model` holds the four values that must be equal wherever an object names it.
"""

from datetime import datetime

from highdicom import AlgorithmIdentificationSequence
from highdicom.sr import AlgorithmIdentification
from pydicom import Dataset

from appliance.core import product
from appliance.core.model import Code
from pipelines.encode.context import MAX_LO, Model, RunContext
from pipelines.encode.terms import (
    ACQUISITION_EQUIPMENT,
    ARTIFICIAL_INTELLIGENCE,
    PROCESSING_EQUIPMENT,
    concept,
)

_OF_ACQUISITION = (
    "Manufacturer",
    "InstitutionName",
    "InstitutionAddress",
    "StationName",
    "InstitutionalDepartmentName",
    "ManufacturerModelName",
    "DeviceSerialNumber",
    "SoftwareVersions",
    "DeviceUID",
)


def describe_equipment(
    dataset: Dataset, context: RunContext, header: Dataset, moment: datetime
) -> None:
    """Write General Equipment and Contributing Equipment; `moment` is when the run was made."""
    dataset.Manufacturer = product.MANUFACTURER
    dataset.ManufacturerModelName = product.MODEL_NAME
    dataset.DeviceSerialNumber = context.device_serial
    dataset.DeviceUID = product.APPLIANCE_DEVICE_UID
    dataset.SoftwareVersions = product.VERSION
    if header.get("InstitutionName"):
        dataset["InstitutionName"] = header["InstitutionName"]
    else:
        dataset.InstitutionName = context.institution[:MAX_LO]
    dataset.ContributingEquipmentSequence = [
        *contributors(context, moment, "Ran the model and made this object"),
        *_acquisition(header),
    ]


def contributors(context: RunContext, moment: datetime, what: str) -> tuple[Dataset, Dataset]:
    """Return the model and the appliance, which did `what`, as items of Contributing Equipment."""
    return _model(context, moment), _appliance(context, moment, what)


def algorithm_of_segments(model: Model) -> AlgorithmIdentificationSequence:
    """Return the model as Segmentation Algorithm Identification Sequence."""
    return AlgorithmIdentificationSequence(
        name=model.name,
        family=concept(ARTIFICIAL_INTELLIGENCE),
        version=model.version,
        source=model.manufacturer,
    )


def algorithm_of_measurements(model: Model) -> AlgorithmIdentification:
    """Return the model as TID 4019."""
    return AlgorithmIdentification(name=model.name, version=model.version)


def _model(context: RunContext, moment: datetime) -> Dataset:
    model = context.model
    item = _contributor(PROCESSING_EQUIPMENT, context.title, moment)
    item.Manufacturer = model.manufacturer
    item.ManufacturerModelName = model.name
    item.SoftwareVersions = model.version
    item.DeviceUID = model.device_uid
    return item


def _appliance(context: RunContext, moment: datetime, what: str) -> Dataset:
    item = _contributor(PROCESSING_EQUIPMENT, what, moment)
    item.Manufacturer = product.MANUFACTURER
    item.ManufacturerModelName = product.MODEL_NAME
    item.DeviceSerialNumber = context.device_serial
    item.SoftwareVersions = product.VERSION
    item.DeviceUID = product.APPLIANCE_DEVICE_UID
    return item


def _acquisition(header: Dataset) -> list[Dataset]:
    if not header.get("Manufacturer"):
        return []  # Type 1 in the item
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [concept(ACQUISITION_EQUIPMENT)]
    item.ContributionDescription = "Acquired the source images"
    for keyword in _OF_ACQUISITION:
        if header.get(keyword):
            item[keyword] = header[keyword]
    return [item]


def _contributor(purpose: Code, description: str, moment: datetime) -> Dataset:
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [concept(purpose)]
    # A DT with its own offset; TM and DA of the object stay as they are without one.
    item.ContributionDateTime = f"{moment:%Y%m%d%H%M%S.%f%z}"
    item.ContributionDescription = description
    return item
