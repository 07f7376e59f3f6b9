import numpy as np
import pytest

from appliance.core.model import AttributeValue
from pipelines.features import intensity_features, metadata_features
from pipelines.volume import FrameRef, Volume

Values = dict[str, tuple[AttributeValue, ...]]


def found(attributes: Values, images: int | None = None) -> dict[str, float | str | None]:
    return {
        feature.name: feature.category if feature.number is None else feature.number
        for feature in metadata_features(attributes, images=images)
    }


def test_acquisition_becomes_numbers_and_categories() -> None:
    features = found(
        {
            "Manufacturer": ("SYNTHETIC",),
            "SoftwareVersions": ("5.1", "5.1.0"),
            "MagneticFieldStrength": (3.0,),
            "PixelSpacing": (0.9, 0.9),
            "ProtocolName": ("  t1   mprage ",),
        },
        images=170,
    )
    assert features == {
        "manufacturer": "SYNTHETIC",
        "software_versions": "5.1 5.1.0",
        "magnetic_field_strength": 3.0,
        "pixel_spacing": 0.9,
        "protocol_name": "t1 mprage",
        "image_count": 170.0,
    }


def test_every_metadata_feature_is_in_the_group_metadata() -> None:
    features = metadata_features({"KVP": (120.0,), "PatientAge": ("056Y",)})
    assert {feature.group for feature in features} == {"metadata"}


def test_an_enhanced_objects_own_names_are_understood() -> None:
    assert found({"EffectiveEchoTime": (3.2,), "InversionTimes": (900.0,)}) == {
        "echo_time": 3.2,
        "inversion_time": 900.0,
    }


def test_an_empty_element_is_no_feature() -> None:
    assert found({"Manufacturer": (), "FlipAngle": (), "PatientAge": ()}) == {}


@pytest.mark.parametrize(
    ("age", "decade"),
    [("056Y", 50.0), ("050Y", 50.0), ("018M", 0.0), ("003D", 0.0), ("101Y", 90.0), ("089Y", 80.0)],
)
def test_age_is_known_by_decade_only(age: str, decade: float) -> None:
    assert found({"PatientAge": (age,)}) == {"patient_age_decade": decade}


@pytest.mark.parametrize("age", ["56", "Y056", "old", "-56Y"])
def test_an_age_that_is_none_is_left_out(age: str) -> None:
    assert found({"PatientAge": (age,)}) == {}


def test_no_identifier_becomes_a_feature() -> None:
    attributes: Values = {
        "PatientName": ("Doe^Jane",),
        "PatientID": ("4711",),
        "AccessionNumber": ("A1",),
        "PatientBirthDate": ("19700101",),
        "PatientSex": ("F",),
    }
    assert found(attributes) == {"patient_sex": "F"}


def test_intensities_are_told_by_mean_spread_and_percentiles() -> None:
    array = np.linspace(0, 100, 8 * 8 * 8, dtype=np.float32).reshape(8, 8, 8)
    frame = FrameRef(sop_instance_uid="1.2", sop_class_uid="1.3", frame_number=None, path_index=0)
    volume = Volume(
        array=array,
        affine=np.eye(4),
        spacing=(1.0, 1.0, 1.0),
        frames=(frame,) * 8,
        series_instance_uid="1.4",
        frame_of_reference_uid="1.5",
        modality="MR",
        attributes={},
    )
    features = {feature.name: feature.number for feature in intensity_features(volume)}
    assert features["intensity_p50"] == pytest.approx(50, abs=10)
    assert features["intensity_mean"] == pytest.approx(50, abs=10)
    assert features["intensity_p01"] == pytest.approx(1, abs=2)
    assert set(features) == {
        "intensity_mean",
        "intensity_sd",
        "intensity_p01",
        "intensity_p25",
        "intensity_p50",
        "intensity_p75",
        "intensity_p99",
    }
