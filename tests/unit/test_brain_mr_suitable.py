"""What brain-mr refuses by attributes alone, and the reasons that it gives."""

import pytest

from appliance.core.errors import InputRefused
from appliance.core.model import Attributes
from pipelines.brain_mr.suitable import notes, refusals
from pipelines.folders import SHIPPED
from pipelines.manifest import load_manifest
from pipelines.registry import build
from pipelines.series import read_volume
from pipelines.volume import Volume
from tests.reformat import head_paths
from tests.volumes import given

T1: Attributes = {
    "PatientAge": ("041Y",),
    "BodyPartExamined": ("BRAIN",),
    "SeriesDescription": ("Sag3D MPRAGE",),
    "ScanningSequence": ("GR",),
    "RepetitionTime": (6.5,),
    "EchoTime": (2.9,),
    "ContrastBolusAgent": (),
    "ImageType": ("ORIGINAL", "PRIMARY", "M"),
}


def test_an_adults_native_t1_head_is_taken() -> None:
    assert refusals("MR", T1) == ()
    assert notes(T1) == ()


def test_absent_attributes_refuse_nothing_but_are_noted() -> None:
    assert refusals("MR", {}) == ()
    age, weighting = notes({})
    assert "age is not in the images" in age
    assert "T1 is assumed" in weighting


@pytest.mark.parametrize("modality", ["CT", "PT", ""])
def test_another_modality_is_refused(modality: str) -> None:
    assert refusals(modality, T1) == (f"the modality is {modality or 'not known'}; MR is needed",)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"BodyPartExamined": ("KNEE",)}, "the body part is KNEE; a head is needed"),
        ({"PatientAge": ("017Y",)}, "younger than 18 years"),
        ({"PatientAge": ("030M",)}, "younger than 18 years"),
        ({"PatientAge": ("003W",)}, "younger than 18 years"),
        ({"ContrastBolusAgent": ("Gadovist",)}, "contrast agent was given (Gadovist)"),
        ({"SeriesDescription": ("T1 MPRAGE post",)}, "contrast agent ('post')"),
        ({"SeriesDescription": ("t1_mpr_sag +C",)}, "contrast agent ('+C')"),
        ({"SeriesDescription": ("3D T1 Gd",)}, "contrast agent ('Gd')"),
        ({"SeriesDescription": ("T1 KM sag",)}, "contrast agent ('KM')"),
        ({"SeriesDescription": ("MPRAGE+C",)}, "contrast agent ('+C')"),
        ({"SeriesDescription": ("BRAVO+Gd sag",)}, "contrast agent ('+Gd')"),
        ({"SeriesDescription": ("T1 3D with contrast",)}, "contrast agent ('with contrast')"),
        ({"SeriesDescription": ("SAG T1 W/CONTRAST",)}, "contrast agent ('W/CONTRAST')"),
        ({"SeriesDescription": ("t1 post inj",)}, "contrast agent ('post inj')"),
        ({"SeriesDescription": ("MPRAGE Dotarem",)}, "contrast agent ('Dotarem')"),
        ({"ContrastBolusVolume": (15.0,)}, "15 mL of contrast agent were given"),
        ({"SeriesDescription": ("3D FLAIR",)}, "the description says 'FLAIR'; T1 is needed"),
        ({"SeriesDescription": ("T2 space",)}, "the description says 'T2'; T1 is needed"),
        ({"EchoTime": (90.0,)}, "the echo time is 90 ms"),
        ({"EffectiveEchoTime": (110.0,)}, "the echo time is 110 ms"),
        ({"ScanningSequence": ("SE",), "RepetitionTime": (3000.0,)}, "time of 3000 ms"),
        ({"ScanningSequence": ("EP",)}, "echo-planar"),
        ({"InversionTime": (160.0,)}, "nulls fat"),
        ({"AcquisitionContrast": ("FLUID_ATTENUATED",)}, "FLUID_ATTENUATED-weighted"),
        ({"ImageType": ("ORIGINAL", "PRIMARY", "LOCALIZER")}, "the images are a localiser"),
        ({"ImageType": ("DERIVED", "SECONDARY", "MIP")}, "the images are a projection"),
    ],
    ids=str,
)
def test_what_it_was_not_made_for_is_refused_with_the_reason(
    changed: Attributes, reason: str
) -> None:
    [found] = refusals("MR", {**T1, **changed})
    assert reason in found


@pytest.mark.parametrize(
    "changed",
    [
        {"SeriesDescription": ("T1 MPRAGE sag p2 iso",)},
        {"SeriesDescription": ("ADNI_Sag3D MPRAGE",)},
        {"SeriesDescription": ("t1_mprage_sag_posterior coil",)},
        {"ContrastBolusAgent": ("NONE",), "ContrastBolusVolume": (0.0,)},
        {"SeriesDescription": ("T1 MPRAGE without contrast",)},
        {"SeriesDescription": ("T1 w/o contrast, +CUBE",)},
        {"BodyPartExamined": ("HEAD_NECK",)},
        {"BodyPartExamined": ()},
        {"PatientAge": ("018Y",)},
        {"RepetitionTime": (2300.0,), "InversionTime": (900.0,)},
        {"ScanningSequence": ("SE",), "RepetitionTime": (600.0,)},
        {"ScanningSequence": ("GR", "IR"), "RepetitionTime": (2400.0,)},
        {"AcquisitionContrast": ("T1",)},
    ],
    ids=str,
)
def test_what_it_was_made_for_is_not_refused(changed: Attributes) -> None:
    assert refusals("MR", {**T1, **changed}) == ()


def test_all_reasons_are_told_together() -> None:
    reasons = refusals("MR", {**T1, "BodyPartExamined": ("KNEE",), "PatientAge": ("012Y",)})
    assert len(reasons) == 2


@pytest.fixture(scope="module")
def head() -> Volume:
    return read_volume(head_paths())


def test_a_ct_of_a_head_is_refused_before_the_model_is_needed(head: Volume) -> None:
    folder = SHIPPED["brain-mr"]
    pipeline = build(load_manifest(folder), folder)  # never loaded
    ct = Volume(
        array=head.array,
        affine=head.affine,
        spacing=head.spacing,
        frames=head.frames,
        series_instance_uid=head.series_instance_uid,
        frame_of_reference_uid=head.frame_of_reference_uid,
        modality="CT",
        attributes={"Modality": ("CT",)},
    )
    study = given({"head": ct})
    with pytest.raises(InputRefused, match="the modality is CT; MR is needed"):
        pipeline.infer(study)
