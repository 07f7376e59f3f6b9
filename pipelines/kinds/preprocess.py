"""Volumes to one tensor that knows where it is, and through the steps of the manifest.

A tensor has the shape (channels, i, j, k) and MONAI's own affine, (i, j, k, 1) to RAS mm. Ours
are LPS: the sign of the first two patient axes is all that differs.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import monai.transforms
import numpy as np
import torch
from monai.data import MetaTensor

from appliance.core.errors import InputRefused, PermanentPipelineError
from pipelines.conform import conform
from pipelines.kinds.inferring import first_line
from pipelines.network import Inference
from pipelines.resample import Grid, linear
from pipelines.steps import Arguments, Orientation, Step
from pipelines.volume import Float32, Volume

Transform = Callable[[MetaTensor], MetaTensor]

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # and back


def grid_of(image: MetaTensor) -> Grid:
    """Return where the voxels of a tensor (channels, i, j, k) are."""
    affine = _LPS_TO_RAS @ image.affine.cpu().numpy().astype(np.float64)
    return Grid(shape=(image.shape[1], image.shape[2], image.shape[3]), affine=affine)


def volume_grid(volume: Volume) -> Grid:
    """Return where the voxels of a volume are."""
    shape = volume.array.shape
    return Grid(shape=(shape[0], shape[1], shape[2]), affine=volume.affine)


def stacked(volumes: Mapping[str, Volume], names: Sequence[str]) -> MetaTensor:
    """Return the volumes `names` as channels on the voxels of the first one.

    That they share a frame of reference was checked before (`registered` in the manifest). Raises
    InputRefused where they don't overlap.
    """
    first, *others = (volumes[name] for name in names)
    channels = [first.array]
    for name, other in zip(names[1:], others, strict=True):
        channels.append(_brought(other, first, f"{name} and {names[0]}"))
    # A copy: volumes lie in memory that is shared and must not be written.
    return _tensor(np.stack(channels), volume_grid(first))


def _brought(volume: Volume, first: Volume, which: str) -> Float32:
    """Return `volume` on the voxels of `first`; outside of it is its least value."""
    here, there = volume_grid(first), volume_grid(volume)
    if here.shape == there.shape and np.allclose(here.affine, there.affine, atol=1e-3):
        return volume.array
    least = volume.array.min()
    inside = linear(np.ones_like(volume.array), there, here)
    if not inside.any():
        raise InputRefused(f"{which} do not overlap: they show different parts of the patient")
    brought: Float32 = linear(volume.array - least, there, here) + least
    return brought


def _tensor(array: Float32, grid: Grid) -> MetaTensor:
    affine = torch.from_numpy(_LPS_TO_RAS @ grid.affine)
    return MetaTensor(torch.from_numpy(np.ascontiguousarray(array)), affine=affine)


def through(image: MetaTensor, steps: Sequence[tuple[str, Transform]]) -> MetaTensor:
    """Return `image` after `steps` (name, transform). Raises PermanentPipelineError."""
    for number, (name, step) in enumerate(steps, 1):
        before = tuple(image.shape)
        try:
            image = step(image)
        except (ValueError, IndexError, RuntimeError) as error:
            why = first_line(error)
            raise PermanentPipelineError(
                f"preprocess: step {number}, {name}, failed on a volume of {before}: {why}"
            ) from error
        if 0 in image.shape:
            raise PermanentPipelineError(
                f"preprocess: step {number}, {name}, left nothing of a volume of {before}"
            )
    return image


def beside_each_other(images: Mapping[str, MetaTensor], inference: Inference) -> torch.Tensor:
    """Return preprocessed images (channels, i, j, k) as planes of one, to go in one pass.

    Raises InputRefused where they differ in size.
    """
    (name, first), *others = images.items()
    for other, image in others:
        if image.shape != first.shape:
            raise InputRefused(
                f"{other} is {tuple(image.shape[1:])} after preprocess, {name} is "
                f"{tuple(first.shape[1:])}; images in one pass have one size (add Resize)"
            )
    axis = 0 if inference.slices is None else inference.slices.axis
    return torch.cat([image.as_tensor() for image in images.values()], dim=1 + axis)


def transforms(steps: Sequence[Step]) -> list[tuple[str, Transform]]:
    """Return the steps of a manifest with their names, ready to be called."""
    return [(step.name, _transform(step.name, step.arguments)) for step in steps]


def _transform(name: str, arguments: Arguments) -> Transform:
    build = _OWN.get(name)
    if build is not None:
        return build(arguments)
    transform: Transform = getattr(monai.transforms, name)(**_told(arguments))
    return transform


def _told(arguments: Arguments) -> dict[str, object]:
    return arguments.model_dump(exclude_none=True)


def _conform(_: Arguments) -> Transform:
    def conformed(image: MetaTensor) -> MetaTensor:
        array, grid = conform(image.numpy()[0], grid_of(image))
        return _tensor(array[None], grid)

    return conformed


def _orientation(arguments: Arguments) -> Transform:
    assert isinstance(arguments, Orientation)  # noqa: S101 -- the table below says so
    transform: Transform = monai.transforms.Orientation(**_told(arguments), labels=None)
    return transform


def _crop_foreground(arguments: Arguments) -> Transform:
    told = _told(arguments)
    threshold = told.pop("threshold")
    transform: Transform = monai.transforms.CropForeground(
        select_fn=lambda values: values > threshold, **told
    )
    return transform


# Steps that are not MONAI's, or whose arguments are not.
_OWN: Mapping[str, Callable[[Arguments], Transform]] = MappingProxyType(
    {
        "Conform": _conform,
        "Orientation": _orientation,
        "CropForeground": _crop_foreground,
    }
)
