"""Watches a bundle's network while it runs: how far it is, and whether its output is sound."""

import contextlib
import math
from collections.abc import Iterator

import torch
from ignite.engine import Engine
from monai.inferers import SlidingWindowInferer
from monai.utils import fall_back_tuple

from appliance.core.errors import PermanentPipelineError
from pipelines.base import Progress

_READ, _INFER, _FINISH = 0.05, 0.1, 0.85  # share of a run that is done where each phase begins


class Watch:
    """One run of a network that promises `channels` output channels."""

    def __init__(self, progress: Progress, channels: int) -> None:
        self._progress = progress
        self._channels = channels
        self._windows = 1
        self._done = 0

    @contextlib.contextmanager
    def over(self, network: object) -> Iterator[None]:
        """Look at everything that the network gives meanwhile."""
        self._progress(_READ, "read")
        if not isinstance(network, torch.nn.Module):
            yield
            return
        hook = network.register_forward_hook(self._look)
        try:
            yield
        finally:
            hook.remove()

    def started(self, engine: Engine) -> None:
        """Count the windows that the image will be cut into."""
        image = engine.state.batch.get("image") if isinstance(engine.state.batch, dict) else None
        if torch.is_tensor(image):
            self._windows = window_count(getattr(engine, "inferer", None), image.shape)
        self._progress(_INFER, "infer")

    def finished(self, _engine: Engine) -> None:
        """Say that the network is done."""
        self._progress(_FINISH, "postprocess")

    def _look(self, _network: torch.nn.Module, _inputs: object, output: object) -> None:
        self._done += 1
        if torch.is_tensor(output):
            if output.shape[1] != self._channels:
                raise PermanentPipelineError(
                    f"the bundle's network gives {output.shape[1]} channels, its metadata.json "
                    f"promises {self._channels}: which is which structure is not known"
                )
            if not bool(torch.isfinite(output).all()):
                raise PermanentPipelineError(
                    "the bundle's network gives values that are no numbers (NaN or infinite)"
                )
        share = min(self._done / self._windows, 1.0)
        self._progress(
            _INFER + (_FINISH - _INFER) * share, f"window {self._done} of {self._windows}"
        )


def window_count(inferer: object, shape: torch.Size) -> int:
    """Return how often the inferer will call the network for a batch of this shape."""
    if not isinstance(inferer, SlidingWindowInferer):
        return 1
    sizes = shape[2:]
    windows = int(shape[0])
    overlap = inferer.overlap
    overlaps = [overlap] * len(sizes) if isinstance(overlap, int | float) else overlap
    for size, roi, part in zip(
        sizes, fall_back_tuple(inferer.roi_size, sizes), overlaps, strict=True
    ):
        step = max(1, int(roi * (1 - part)))
        windows *= 1 + max(0, math.ceil((size - roi) / step))
    return math.ceil(windows / int(inferer.sw_batch_size))
