"""What a network's manifest may do to a volume before the network, and to labels after it.

An allow-list: each step is a key with MONAI's own name and MONAI's own argument names, checked
when the manifest is read. MONAI is not imported here; `pipelines.kinds.preprocess` does that.

    - Orientation: {axcodes: RAS}
    - Spacing: {pixdim: [1.5, 1.5, 2.0], mode: bilinear}
    - ScaleIntensityRange: {a_min: -57, a_max: 164, b_min: 0, b_max: 1, clip: true}
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from appliance.core.documents import Document
from pipelines.fields import matching

Size = tuple[int | None, int | None, int | None]
"""Voxels along the three axes of a preprocessed volume; None where the source decides."""

UNKNOWN: Size = (None, None, None)


def _three(value: object) -> object:
    """Return one number as three, so that `2` means `[2, 2, 2]` as it does in MONAI."""
    return (value,) * 3 if isinstance(value, int | float) else value


def _sizes(value: tuple[int, int, int]) -> tuple[int, int, int]:
    if any(size < 1 and size != -1 for size in value):
        raise ValueError("a size is a number of voxels from 1, or -1 to leave that axis")
    return value


def _axes(text: str) -> str:
    if sorted("RAS".index(_OPPOSITE.get(letter, letter)) for letter in text) != [0, 1, 2]:
        raise ValueError(f"{text!r} names a direction twice; write one of L R, P A, I S each")
    return text


_OPPOSITE = {"L": "R", "P": "A", "I": "S"}

_NUMBERS = WithJsonSchema({"type": ["number", "array"]})
Sizes = Annotated[tuple[int, int, int], BeforeValidator(_three), AfterValidator(_sizes), _NUMBERS]
Voxels = Annotated[
    tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]],
    BeforeValidator(_three),
    _NUMBERS,
]
Factors = Annotated[
    tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]],
    BeforeValidator(_three),
    _NUMBERS,
]
Millimetres = Annotated[
    tuple[
        Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]
    ],
    BeforeValidator(_three),
    _NUMBERS,
]
Percent = Annotated[float, Field(ge=0, le=100)]
Padding = Literal["constant", "reflect", "replicate"]
Where = Literal["symmetric", "end"]


class Arguments(Document):
    """What one step is told."""

    def size_after(self, before: Size) -> Size:
        """Return the size of a volume after this step, as far as the manifest tells it."""
        return before


class Conform(Arguments):
    """FreeSurfer's space: 256 voxels of 1 mm each, axes left, inferior, anterior. Ours."""

    def size_after(self, before: Size) -> Size:  # noqa: ARG002
        """Return a cube."""
        return (256, 256, 256)


class Orientation(Arguments):
    """Axes permuted and flipped, nothing interpolated."""

    axcodes: Annotated[
        str,
        matching("[RLAPSI]{3}", "three directions like RAS, those towards which the axes grow"),
        AfterValidator(_axes),
    ]

    def size_after(self, before: Size) -> Size:
        """Return a size only where all axes are alike."""
        return before if len(set(before)) == 1 else UNKNOWN


class Spacing(Arguments):
    """Resampled to `pixdim` mm along the axes as they are then."""

    pixdim: Millimetres
    mode: Literal["bilinear", "nearest"] = "bilinear"
    padding_mode: Literal["zeros", "border", "reflection"] = "border"

    def size_after(self, before: Size) -> Size:  # noqa: ARG002
        """Return that the source decides."""
        return UNKNOWN


class Resize(Arguments):
    """Stretched to `spatial_size` voxels."""

    spatial_size: Sizes
    mode: Literal["trilinear", "area", "nearest"] = "trilinear"

    def size_after(self, before: Size) -> Size:
        """Return the size asked for."""
        return _kept(self.spatial_size, before)


class ResizeWithPadOrCrop(Arguments):
    """Padded or cut about the middle to `spatial_size` voxels."""

    spatial_size: Sizes
    mode: Padding = "constant"

    def size_after(self, before: Size) -> Size:
        """Return the size asked for."""
        return _kept(self.spatial_size, before)


class SpatialPad(Arguments):
    """Padded to at least `spatial_size` voxels."""

    spatial_size: Sizes
    method: Where = "symmetric"
    mode: Padding = "constant"

    def size_after(self, before: Size) -> Size:
        """Return the larger of both where the size before is known."""
        wanted = zip(self.spatial_size, before, strict=True)
        return _triple([None if was is None else max(was, size) for size, was in wanted])


class CenterSpatialCrop(Arguments):
    """Cut about the middle to at most `roi_size` voxels."""

    roi_size: Sizes

    def size_after(self, before: Size) -> Size:
        """Return the smaller of both where the size before is known."""
        wanted = zip(self.roi_size, before, strict=True)
        return _triple(
            [was if was is None or size == -1 else min(was, size) for size, was in wanted]
        )


class CropForeground(Arguments):
    """Cut to the box of what is above `threshold`, and `margin` voxels round it."""

    threshold: float = 0.0
    margin: Voxels = (0, 0, 0)
    k_divisible: Factors = (1, 1, 1)
    allow_smaller: bool = False  # true: the margin ends where the image does

    def size_after(self, before: Size) -> Size:  # noqa: ARG002
        """Return that the source decides."""
        return UNKNOWN


class DivisiblePad(Arguments):
    """Padded to multiples of `k` voxels."""

    k: Factors
    method: Where = "symmetric"
    mode: Padding = "constant"

    def size_after(self, before: Size) -> Size:
        """Return the next multiples."""
        wanted = zip(self.k, before, strict=True)
        return _triple([None if was is None else -(-was // k) * k for k, was in wanted])


class ScaleIntensity(Arguments):
    """Least and greatest value to `minv` and `maxv`."""

    minv: float = 0.0
    maxv: float = 1.0
    channel_wise: bool = False


class ScaleIntensityRange(Arguments):
    """A window: `a_min` … `a_max` to `b_min` … `b_max`."""

    a_min: float
    a_max: float
    b_min: float = 0.0
    b_max: float = 1.0
    clip: bool = False

    @model_validator(mode="after")
    def _a_window(self) -> Self:
        if self.a_min >= self.a_max:
            raise ValueError(f"a_min {self.a_min:g} must be below a_max {self.a_max:g}")
        return self


class _Percentiles(Arguments):
    """Two percentiles of the volume."""

    lower: Percent
    upper: Percent
    channel_wise: bool = False

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.lower >= self.upper:
            raise ValueError(f"lower {self.lower:g} must be below upper {self.upper:g}")
        return self


class ScaleIntensityRangePercentiles(_Percentiles):
    """A window between two percentiles to `b_min` … `b_max`."""

    b_min: float = 0.0
    b_max: float = 1.0
    clip: bool = False


class ClipIntensityPercentiles(_Percentiles):
    """Cut off below and above two percentiles."""


class NormalizeIntensity(Arguments):
    """Minus `subtrahend`, divided by `divisor`: the volume's mean and deviation if not given."""

    subtrahend: tuple[float, ...] | None = None
    divisor: tuple[float, ...] | None = None
    nonzero: bool = False
    channel_wise: bool = False


class ThresholdIntensity(Arguments):
    """What is not above (or below) `threshold` becomes `cval`."""

    threshold: float
    above: bool = True
    cval: float = 0.0


class _OneOf(Document):
    """A mapping with one key, the name of a step."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if len(self.model_fields_set) != 1 or None in self._told():
            names = ", ".join(str(field.alias) for field in type(self).model_fields.values())
            raise ValueError(f"write one step, with its arguments or {{}}: {names}")
        return self

    def _told(self) -> list[Any]:
        return [getattr(self, name) for name in self.model_fields_set]

    @property
    def name(self) -> str:
        """Return the step's name, which is MONAI's where it is MONAI's."""
        [name] = self.model_fields_set
        return str(type(self).model_fields[name].alias)


class Step(_OneOf):
    """One step before the network."""

    conform: Conform | None = Field(None, alias="Conform")
    orientation: Orientation | None = Field(None, alias="Orientation")
    spacing: Spacing | None = Field(None, alias="Spacing")
    resize: Resize | None = Field(None, alias="Resize")
    resize_with_pad_or_crop: ResizeWithPadOrCrop | None = Field(None, alias="ResizeWithPadOrCrop")
    spatial_pad: SpatialPad | None = Field(None, alias="SpatialPad")
    center_spatial_crop: CenterSpatialCrop | None = Field(None, alias="CenterSpatialCrop")
    crop_foreground: CropForeground | None = Field(None, alias="CropForeground")
    divisible_pad: DivisiblePad | None = Field(None, alias="DivisiblePad")
    scale_intensity: ScaleIntensity | None = Field(None, alias="ScaleIntensity")
    scale_intensity_range: ScaleIntensityRange | None = Field(None, alias="ScaleIntensityRange")
    scale_intensity_range_percentiles: ScaleIntensityRangePercentiles | None = Field(
        None, alias="ScaleIntensityRangePercentiles"
    )
    clip_intensity_percentiles: ClipIntensityPercentiles | None = Field(
        None, alias="ClipIntensityPercentiles"
    )
    normalize_intensity: NormalizeIntensity | None = Field(None, alias="NormalizeIntensity")
    threshold_intensity: ThresholdIntensity | None = Field(None, alias="ThresholdIntensity")

    @property
    def arguments(self) -> Arguments:
        """Return what the step is told."""
        [arguments] = self._told()
        told: Arguments = arguments
        return told


class Labelled(Document):
    """What a step after the network is told; without `labels`, it is for every output."""

    labels: tuple[int, ...] = ()


class RemoveSmall(Labelled):
    """Connected parts smaller than `min_ml` are removed."""

    min_ml: float = Field(gt=0)


class Afterwards(_OneOf):
    """One step after the network, on labels that lie on the source's voxels."""

    keep_largest: Labelled | None = Field(None, alias="KeepLargestComponent")
    fill_holes: Labelled | None = Field(None, alias="FillHoles")
    remove_small: RemoveSmall | None = Field(None, alias="RemoveSmallComponents")

    @property
    def arguments(self) -> Labelled:
        """Return what the step is told."""
        [arguments] = self._told()
        told: Labelled = arguments
        return told


def size_of(steps: Sequence[Step]) -> Size:
    """Return the size that every volume has after `steps`, as far as they tell it."""
    size = UNKNOWN
    for step in steps:
        size = step.arguments.size_after(size)
    return size


def _kept(wanted: tuple[int, int, int], before: Size) -> Size:
    return _triple([was if size == -1 else size for size, was in zip(wanted, before, strict=True)])


def _triple(sizes: Sequence[int | None]) -> Size:
    return (sizes[0], sizes[1], sizes[2])
