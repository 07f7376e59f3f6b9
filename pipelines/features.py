"""What drift watches of a series beside a model's findings: how it was acquired, how bright it is.

Nothing here identifies a patient: age is rounded down to a decade, sex is the only other
attribute of the patient.
"""

from collections.abc import Iterator

import numpy as np

from appliance.core.model import Attributes, Feature
from pipelines.checks import years
from pipelines.volume import Volume

METADATA = "metadata"
OUTPUT = "output"

# Feature name: the keywords that say it, the first that is there counts. Enhanced objects have
# some under other names (PS3.3 C.8.13).
_NUMBERS = {
    "magnetic_field_strength": ("MagneticFieldStrength",),
    "repetition_time": ("RepetitionTime",),
    "echo_time": ("EchoTime", "EffectiveEchoTime"),
    "inversion_time": ("InversionTime", "InversionTimes"),
    "flip_angle": ("FlipAngle",),
    "kvp": ("KVP",),
    "slice_thickness": ("SliceThickness",),
    "spacing_between_slices": ("SpacingBetweenSlices",),
    "pixel_spacing": ("PixelSpacing", "ImagerPixelSpacing"),
    "rows": ("Rows",),
    "columns": ("Columns",),
}
_CATEGORIES = {
    "modality": "Modality",
    "manufacturer": "Manufacturer",
    "manufacturer_model_name": "ManufacturerModelName",
    "software_versions": "SoftwareVersions",
    "station_name": "StationName",
    "protocol_name": "ProtocolName",
    "body_part_examined": "BodyPartExamined",
    "mr_acquisition_type": "MRAcquisitionType",
    "receive_coil_name": "ReceiveCoilName",
    "convolution_kernel": "ConvolutionKernel",
    "patient_sex": "PatientSex",
}
_OLDEST = 90.0  # one group from there on: so few that they could be known by it
_MAX_TEXT = 64
_PERCENTILES = (1, 25, 50, 75, 99)
_STEP = 2  # every second voxel along each axis says the same, eight times as fast


def metadata_features(attributes: Attributes, *, images: int | None = None) -> tuple[Feature, ...]:
    """Return how the series was acquired, from the attributes that all its images share.

    `images` is their number. What is absent or empty gives no feature.
    """
    return (
        *_numbers(attributes),
        *_categories(attributes),
        *_age(attributes),
        *((_number("image_count", float(images)),) if images is not None else ()),
    )


def intensity_features(volume: Volume) -> tuple[Feature, ...]:
    """Return mean, standard deviation and percentiles of the volume's rescaled values."""
    values = volume.array[::_STEP, ::_STEP, ::_STEP]
    found = {
        "intensity_mean": float(values.mean()),
        "intensity_sd": float(values.std()),
        **{
            f"intensity_p{percent:02}": float(value)
            for percent, value in zip(
                _PERCENTILES, np.percentile(values, _PERCENTILES), strict=True
            )
        },
    }
    return tuple(Feature(group=OUTPUT, name=name, number=number) for name, number in found.items())


def _numbers(attributes: Attributes) -> Iterator[Feature]:
    for name, keywords in _NUMBERS.items():
        values = next((attributes[word] for word in keywords if attributes.get(word)), ())
        if values and isinstance(values[0], float):
            yield _number(name, values[0])


def _categories(attributes: Attributes) -> Iterator[Feature]:
    for name, keyword in _CATEGORIES.items():
        text = " ".join(" ".join(str(value) for value in attributes.get(keyword, ())).split())
        if text:
            yield Feature(group=METADATA, name=name, category=text[:_MAX_TEXT])


def _age(attributes: Attributes) -> Iterator[Feature]:
    found = years(attributes)
    if found is not None:
        yield _number("patient_age_decade", min(found // 10 * 10, _OLDEST))


def _number(name: str, number: float) -> Feature:
    return Feature(group=METADATA, name=name, number=number)
