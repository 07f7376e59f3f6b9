"""A preprocessed volume through a network: whole, in windows, or plane by plane.

What a network gives is checked before anything is made of it: its size, its channels, and that
it is numbers.
"""

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import torch
from monai.inferers import sliding_window_inference

from appliance.core.errors import PermanentPipelineError, TransientPipelineError
from pipelines.network import Activation, Inference, Network, Slices, SlidingWindow

Net = Callable[[torch.Tensor], torch.Tensor]
"""Images (batch, channels, *spatial) to what the network gives of them, float32."""

Tell = Callable[[float, str], None]

_LONGEST = 300  # characters of a library's message
_MEMORY = ("out of memory", "can't allocate memory", "Failed to allocate", "bad_alloc")


def run(net: Net, image: torch.Tensor, inference: Inference, tell: Tell) -> torch.Tensor:
    """Return what `net` gives of `image` (channels, i, j, k): (channels, i, j, k).

    A network with scores gives (channels,), or (planes, channels) plane by plane. `tell` hears of
    every window or batch of planes.
    Raises PermanentPipelineError, and TransientPipelineError where memory ran out.
    """
    if inference.sliding_window is not None:
        return _windows(net, image, inference.sliding_window, tell)
    if inference.slices is not None:
        return _planes(net, image, inference.slices, tell)
    tell(0.0, "infer")
    return checked(net, image[None])[0]


def _windows(net: Net, image: torch.Tensor, how: SlidingWindow, tell: Tell) -> torch.Tensor:
    count = math.ceil(_window_count(image.shape[1:], how) / how.batch)
    numbers = itertools.count()

    def one(window: torch.Tensor) -> torch.Tensor:
        number = next(numbers)
        tell(number / count, f"infer {number + 1} of {count}")
        return checked(net, window)

    merged: torch.Tensor = sliding_window_inference(
        image[None],
        how.roi_size,
        how.batch,
        one,
        overlap=how.overlap,
        mode=how.mode,
    )
    return merged[0]


def _window_count(shape: Sequence[int], how: SlidingWindow) -> int:
    """Return how many windows `sliding_window_inference` looks at."""
    count = 1
    for size, roi in zip(shape, how.roi_size, strict=True):
        step = max(int(roi * (1 - how.overlap)), 1)
        count *= math.ceil(max(size - roi, 0) / step) + 1
    return count


def _planes(net: Net, image: torch.Tensor, how: Slices, tell: Tell) -> torch.Tensor:
    planes = image.movedim(1 + how.axis, 0)
    parts = []
    for start in range(0, len(planes), how.batch):
        tell(start / len(planes), f"infer {start + 1} of {len(planes)}")
        parts.append(checked(net, planes[start : start + how.batch]))
    given = torch.cat(parts)
    return given.movedim(0, 1 + how.axis) if given.dim() > 2 else given


def in_batches_of(size: int, net: Net) -> Net:
    """Return `net`, whose file has a fixed batch, so that it takes fewer images as well."""

    def filled(images: torch.Tensor) -> torch.Tensor:
        missing = size - len(images)
        return net(torch.cat([images, *[images[-1:]] * missing]))[: len(images)]

    return filled


def checked(net: Net, images: torch.Tensor) -> torch.Tensor:
    """Return what `net` gives of `images`. Raises PipelineError where that cannot be used."""
    with _told(tuple(images.shape)):
        given = net(images.contiguous())
    if given.dim() != 2 and given.shape[2:] != images.shape[2:]:
        raise PermanentPipelineError(
            f"the network gives {_size(given.shape[2:])} voxels for {_size(images.shape[2:])}; "
            "what marks structures must give as many as it takes"
        )
    if not bool(torch.isfinite(given).all()):
        raise PermanentPipelineError(
            "the network gives values that are no numbers (NaN or infinite); nothing can be said "
            "from them"
        )
    return given


@contextlib.contextmanager
def _told(shape: tuple[int, ...]) -> Iterator[None]:
    """Turn what a library raises into an error of ours, with the shape that it was given."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise TransientPipelineError(_failed("runs out of memory", shape, error)) from error
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
        if any(words in str(error) for words in _MEMORY):
            raise TransientPipelineError(_failed("runs out of memory", shape, error)) from error
        raise PermanentPipelineError(_failed("fails", shape, error)) from error


def _failed(how: str, shape: tuple[int, ...], error: BaseException) -> str:
    return f"the network {how} on an image of {shape}: {first_line(error)}"


def first_line(error: BaseException) -> str:
    """Return the line that says what an error is; libraries write pages."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    # TorchScript tells its own story first.
    return lines[-1 if "TorchScript interpreter" in lines[0] else 0][:_LONGEST]


def probabilities(given: torch.Tensor, network: Network) -> torch.Tensor:
    """Return class probabilities, background first, from what a network gives (channels, …).

    With sigmoid, background has the threshold's probability: the most likely class that exceeds
    it wins.
    """
    if network.activation is Activation.SOFTMAX:
        return torch.softmax(given, dim=0)
    if network.activation is Activation.NONE:
        return given
    threshold = 0.5 if network.threshold is None else network.threshold
    background = torch.full_like(given[:1], threshold)
    return torch.cat([background, torch.sigmoid(given)])


def _size(shape: Sequence[int]) -> str:
    return " x ".join(str(size) for size in shape)
