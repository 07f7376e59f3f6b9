"""What a pipeline wants to be given: which series, and what they must show."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator
from pydicom.datadict import tag_for_keyword

from appliance.core.documents import Document
from pipelines.fields import Name, Text, WrittenCondition, WrittenPreference


def _keyword(text: str) -> str:
    if not tag_for_keyword(text):
        raise ValueError(f"{text!r} is not a DICOM keyword")
    return text


class PatientDirection(StrEnum):
    """A direction in the patient."""

    LEFT = "left"
    RIGHT = "right"
    ANTERIOR = "anterior"
    POSTERIOR = "posterior"
    HEAD = "head"
    FEET = "feet"


class Coverage(Document):
    """What a volume must show. Lengths in mm along the patient's axes."""

    left_right: float = Field(default=0.0, ge=0)
    """The least field of view from left to right, in mm."""
    anterior_posterior: float = Field(default=0.0, ge=0)
    """The least field of view from front to back, in mm."""
    head_feet: float = Field(default=0.0, ge=0)
    """The least field of view from head to feet, in mm."""
    max_spacing: float | None = Field(default=None, gt=0)
    """The largest distance of voxels along any axis, in mm."""
    not_cut: tuple[PatientDirection, ...] = ()
    """Where the body must end before the image does."""


class Measure(StrEnum):
    """What can be asked of a volume. `pipelines.quality` measures each."""

    SLICE_SPACING = "slice-spacing"
    PIXEL_SPACING = "pixel-spacing"
    LARGEST_SPACING = "largest-spacing"
    SMALLEST_SPACING = "smallest-spacing"
    LEFT_RIGHT = "left-right"
    ANTERIOR_POSTERIOR = "anterior-posterior"
    HEAD_FEET = "head-feet"
    ORIENTATION = "orientation"
    CONTRAST = "contrast"
    NOISE = "noise"
    SIGNAL_TO_NOISE = "signal-to-noise"
    INTENSITY_P01 = "intensity-p01"
    INTENSITY_P50 = "intensity-p50"
    INTENSITY_P99 = "intensity-p99"
    INTENSITY_SPREAD = "intensity-spread"

    @property
    def words(self) -> str:
        """Return what it is, for people, with its unit."""
        return _WORDS[self]


_WORDS: Mapping[Measure, str] = MappingProxyType(
    {
        Measure.SLICE_SPACING: "the distance of the slices in mm",
        Measure.PIXEL_SPACING: "the larger pixel spacing in mm",
        Measure.LARGEST_SPACING: "the largest voxel spacing in mm",
        Measure.SMALLEST_SPACING: "the smallest voxel spacing in mm",
        Measure.LEFT_RIGHT: "the field of view from left to right in mm",
        Measure.ANTERIOR_POSTERIOR: "the field of view from front to back in mm",
        Measure.HEAD_FEET: "the field of view from head to feet in mm",
        Measure.ORIENTATION: "the orientation of the slices",
        Measure.CONTRAST: "contrast agent",
        Measure.NOISE: "the noise (standard deviation)",
        Measure.SIGNAL_TO_NOISE: "the signal-to-noise ratio",
        Measure.INTENSITY_P01: "the 1st percentile of the intensities",
        Measure.INTENSITY_P50: "the median of the intensities",
        Measure.INTENSITY_P99: "the 99th percentile of the intensities",
        Measure.INTENSITY_SPREAD: "the skew of the intensities, (p99 - p50) / (p50 - p01),",
    }
)

# What measures in words can say; the others are numbers.
WORDED: Mapping[Measure, tuple[str, ...]] = MappingProxyType(
    {
        Measure.ORIENTATION: ("axial", "coronal", "sagittal", "oblique"),
        Measure.CONTRAST: ("given", "none", "unknown"),
    }
)


class Otherwise(StrEnum):
    """What happens to a study that is not as the manifest says."""

    REFUSE = "refuse"
    FLAG = "flag"  # it is run, and the result says so


class Check(Document):
    """One thing that an input must be like: a number within limits, or one of some words."""

    measure: Measure
    """What is measured."""
    at_least: float | None = None
    """For a number: the least that will do."""
    at_most: float | None = None
    """For a number: the most that will do."""
    one_of: tuple[str, ...] = ()
    """For a word: those that will do."""
    otherwise: Otherwise = Otherwise.REFUSE
    """What happens to a study that is otherwise."""
    why: str = ""
    """Why, for the reader; said beside what was found."""

    @model_validator(mode="after")
    def _fits_its_measure(self) -> Self:
        words = WORDED.get(self.measure)
        if words is not None:
            unknown = [word for word in self.one_of if word not in words]
            if unknown or not self.one_of or (self.at_least, self.at_most) != (None, None):
                raise ValueError(f"{self.measure} is a word; write one_of with {', '.join(words)}")
        elif self.one_of or (self.at_least is None and self.at_most is None):
            raise ValueError(f"{self.measure} is a number; write at_least, at_most or both")
        elif None not in (self.at_least, self.at_most) and self.at_least > self.at_most:  # type: ignore[operator]
            raise ValueError(f"at_least {self.at_least:g} is above at_most {self.at_most:g}")
        return self


class Training(Document):
    """What the model has seen: ranges of numbers, and of which data they are."""

    source: str = ""
    """Which data the ranges are of."""
    otherwise: Otherwise = Otherwise.FLAG
    """What happens to a study outside of them."""
    ranges: dict[Measure, tuple[float, float]] = Field(default_factory=dict)
    """For each measure, the lowest and the highest value in the training data."""

    @model_validator(mode="after")
    def _ranges_of_numbers(self) -> Self:
        for measure, (low, high) in self.ranges.items():
            if measure in WORDED:
                raise ValueError(f"{measure} is a word and has no range; write it under checks")
            if low > high:
                raise ValueError(f"{measure}: {low:g} is above {high:g}")
        if self.ranges and not self.source:
            raise ValueError("say with source which data the ranges are of")
        return self


class Form(StrEnum):
    """What an input's images are together."""

    VOLUME = "volume"  # parallel slices at even distances
    IMAGE = "image"  # one grey image without a place in space: a radiograph


class Take(StrEnum):
    """Which of a series' volumes is wanted."""

    FIRST = "first"
    LAST = "last"
    NEAREST = "nearest"  # to `value`, and not farther from it than `within`
    ALL = "all"  # each as a volume of its own: NAME.1, NAME.2, …


class Split(Document):
    """How a series with several images at each place becomes volumes."""

    by: Annotated[str, AfterValidator(_keyword)]
    """The attribute whose value tells the volumes apart, by DICOM keyword."""
    take: Take
    """Which of the volumes is wanted."""
    value: float | None = None
    """With nearest: the value."""
    within: float = Field(default=0.0, ge=0)
    """With nearest: how far from it will do."""

    @model_validator(mode="after")
    def _nearest_to_something(self) -> Self:
        if (self.take is Take.NEAREST) != (self.value is not None):
            raise ValueError("value belongs to take: nearest, which needs it")
        return self


class Input(Document):
    """One series that the pipeline needs."""

    name: Name
    """What the pipeline and its results call it."""
    title: Text
    """What it is, for people."""
    select: WrittenCondition
    """Which series will do; conditions as in a route."""
    prefer: tuple[WrittenPreference, ...] = ()
    """Where several will do: the first line that tells them apart decides."""
    required: bool = True
    """Whether the pipeline needs it; false where it can do without."""
    form: Form = Form.VOLUME
    """What its images are together."""
    split: Split | None = None
    """How a series with several images at each place becomes volumes."""
    coverage: Coverage = Coverage()
    """What must be in the field of view; a study without it is refused."""
    checks: tuple[Check, ...] = ()
    """What it must be like, and what happens otherwise."""
    training: Training = Training()
    """What the model has seen; what is outside of it is flagged or refused."""
