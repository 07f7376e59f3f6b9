"""On which series chest-ct-densitometry measures densities, and what it refuses by attributes."""

import numpy as np
import pytest

from appliance.core.model import Attributes
from pipelines.chest_ct.fitness import reasons
from pipelines.chest_ct.kernels import KERNELS, why_not
from pipelines.chest_ct.suitable import notes, refusals
from pipelines.volume import Volume

FIT: Attributes = {
    "PatientAge": ("061Y",),
    "Manufacturer": ("SIEMENS",),
    "ConvolutionKernel": ("B31f",),
    "SeriesDescription": ("Thorax 1.0 B31f",),
    "ContrastBolusAgent": ("NONE",),
    "SliceThickness": (1.0,),
    "ImageType": ("ORIGINAL", "PRIMARY", "AXIAL"),
}


def why(changed: Attributes, *, apart: float = 1.0) -> tuple[str, ...]:
    return reasons(
        Volume(
            array=np.zeros((2, 2, 2), dtype=np.float32),
            affine=np.eye(4),
            spacing=(apart, 0.7, 0.7),
            frames=(),
            series_instance_uid="2.25.1",
            frame_of_reference_uid=None,
            modality="CT",
            attributes={**FIT, **changed},
        )
    )


def test_thin_slices_with_a_listed_kernel_and_no_contrast_agent_are_fit() -> None:
    assert why({}) == ()
    assert why({"SliceThickness": (1.5,)}, apart=1.5) == ()


@pytest.mark.parametrize(
    ("changed", "apart", "reason"),
    [
        ({"SliceThickness": (1.6,)}, 1.0, "the slices are 1.6 mm thick; at most 1.5 mm"),
        ({"SliceThickness": (5.0,)}, 5.0, "the slices are 5 mm thick"),
        ({"SliceThickness": (1.0,)}, 10.0, "the slices are 10 mm apart"),
        ({"SliceThickness": ()}, 1.0, "do not say how thick they are"),
        ({"ConvolutionKernel": ("B60f",)}, 1.0, "the reconstruction kernel is B60f; of Siemens"),
        ({"ConvolutionKernel": ("Br40d", "3")}, 1.0, "the reconstruction kernel is Br40d"),
        ({"ConvolutionKernel": ()}, 1.0, "do not name their reconstruction kernel"),
        ({"Manufacturer": ("TOSHIBA",)}, 1.0, "no kernel of TOSHIBA is on the list"),
        ({"Manufacturer": ()}, 1.0, "no kernel of an unknown manufacturer is on the list"),
        ({"ContrastBolusAgent": ("Ultravist",)}, 1.0, "contrast agent was given (Ultravist)"),
        ({"ContrastBolusVolume": (80.0,)}, 1.0, "80 mL of contrast agent were given"),
        ({"ContrastBolusAgent": ()}, 1.0, "do not say whether contrast agent was given"),
    ],
    ids=str,
)
def test_what_is_not_fit_is_told_with_its_reason(
    changed: Attributes, apart: float, reason: str
) -> None:
    [found] = why(changed, apart=apart)
    assert reason in found


def test_all_reasons_are_told_together() -> None:
    changed: Attributes = {
        "SliceThickness": (3.0,),
        "ConvolutionKernel": ("B70f",),
        "ContrastBolusAgent": (),
    }
    assert len(why(changed)) == 3


@pytest.mark.parametrize(
    "description",
    ["Thorax +C", "CT CHEST W CONTRAST", "Thorax KM", "CTA pulmonary", "Chest C+", "Thorax venous",
     "CHEST WITH AND WITHOUT", "CT CHEST W/WO", "Thorax ven. 1.0", "mit KM nativ"],
)  # fmt: skip
def test_a_description_that_says_contrast_agent_counts_as_given(description: str) -> None:
    changed: Attributes = {"ContrastBolusAgent": (), "SeriesDescription": (description,)}
    [found] = why(changed)
    assert "the description says contrast agent" in found


@pytest.mark.parametrize(
    "description",
    ["Thorax nativ", "CT CHEST WITHOUT CONTRAST", "CHEST W/O CONTRAST", "2 Chest C-/Thorax",
     "Lung non-contrast", "Thorax ohne KM", "unenhanced chest", "Chest w/o iv contrast"],
)  # fmt: skip
@pytest.mark.parametrize("keyword", ["SeriesDescription", "ProtocolName", "StudyDescription"])
def test_a_description_that_denies_contrast_agent_is_believed(
    keyword: str, description: str
) -> None:
    silent: Attributes = {"ContrastBolusAgent": (), "SeriesDescription": ("Thorax 1.0",)}
    assert why(silent) == ("the images do not say whether contrast agent was given",)
    assert why({**silent, keyword: (description,)}) == ()


def test_contrast_agent_in_the_header_outweighs_a_description_that_denies_it() -> None:
    changed: Attributes = {
        "ContrastBolusAgent": ("Imeron 350",),
        "SeriesDescription": ("Thorax nativ",),
    }
    assert why(changed) == ("contrast agent was given (Imeron 350)",)


def test_a_study_of_both_says_nothing_of_one_series() -> None:
    changed: Attributes = {
        "ContrastBolusAgent": (),
        "SeriesDescription": ("1.0 B31f",),
        "StudyDescription": ("CT chest with and without contrast",),
    }
    assert why(changed) == ("the images do not say whether contrast agent was given",)


@pytest.mark.parametrize(
    ("manufacturer", "kernel"),
    [("GE MEDICAL SYSTEMS", "STANDARD"), ("Philips", "B"), ("Philips Medical Systems", "b"),
     ("Siemens Healthineers", "B40f"), ("SIEMENS", "B35f")],
)  # fmt: skip
def test_a_kernel_is_found_by_its_manufacturer(manufacturer: str, kernel: str) -> None:
    assert why_not(manufacturer, kernel) == ""


def test_another_manufacturers_kernel_does_not_count() -> None:
    assert "of GE, STANDARD can be used" in why_not("GE MEDICAL SYSTEMS", "B")


def test_every_kernel_of_the_list_has_its_source() -> None:
    assert all(source for kernels in KERNELS.values() for source in kernels.values())


def test_an_adults_ct_in_hounsfield_units_is_taken() -> None:
    assert refusals("CT", FIT) == ()
    assert refusals("CT", {**FIT, "RescaleType": ("HU",)}) == ()
    assert notes(FIT) == ()


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"PatientAge": ("012Y",)}, "younger than 18 years"),
        ({"ImageType": ("DERIVED", "SECONDARY", "MIP")}, "the images are a projection"),
        ({"ImageType": ("ORIGINAL", "PRIMARY", "LOCALIZER")}, "the images are a localiser"),
        ({"RescaleType": ("US",)}, "the values are in US, not in Hounsfield units"),
    ],
    ids=str,
)
def test_what_it_was_not_made_for_is_refused(changed: Attributes, reason: str) -> None:
    [found] = refusals("CT", {**FIT, **changed})
    assert reason in found


def test_another_modality_is_refused() -> None:
    assert refusals("MR", FIT) == ("the modality is MR; CT is needed",)


def test_an_age_that_is_not_known_is_noted() -> None:
    [note] = notes({})
    assert "age is not in the images" in note
