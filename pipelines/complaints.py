"""What a child process tells of an exception: whose fault it is, in words that quote no image."""

import contextlib
import errno
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from appliance.core.errors import ApplianceError, PermanentPipelineError, TransientPipelineError
from pipelines.device import GpuFull
from pipelines.sandbox.enclosure import Isolation
from pipelines.wire import Channel, Failed, failed

# By name, as this process may have neither library.
_OUT_OF_GPU = frozenset({"OutOfMemoryError"})  # torch
_OUT_OF_MEMORY = frozenset({"MemoryError"})
# What else libraries say when a GPU has no memory left: CUDA, cuBLAS, ONNX Runtime.
_OUT_OF_GPU_TEXTS = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUDA failure 2: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "Failed to allocate memory for requested buffer",
)
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


class Reporter:
    """Tells the other end of an exception that nobody expected, before it ends the process."""

    def __init__(self, channel: Channel, isolation: Isolation) -> None:
        self._channel = channel
        self._isolation = isolation

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            with contextlib.suppress(ApplianceError):
                self._channel.send(unexpected(error, trace, self._isolation))


def told(error: ApplianceError, *, ends: bool = False) -> Failed:
    """Return an error of the tree as a message; after a full GPU the process ends."""
    if isinstance(error, GpuFull):
        return replace(failed(error, ends=True), is_gpu_full=True, gpu_lacking=error.lacking)
    if is_gpu_full(error):
        return replace(failed(error, ends=True), is_gpu_full=True)
    return failed(error, ends=ends)


def unexpected(error: BaseException, trace: TracebackType | None, isolation: Isolation) -> Failed:
    """Return an exception outside the tree as a message; memory may be there next time.

    The place is told, the text is not: a library may quote what it read from the images.
    """
    frames = traceback.extract_tb(trace)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    text = f"the pipeline raised {type(error).__name__}{place}; the log has more"
    if is_gpu_full(error):
        text = f"the memory of the GPU was not enough: {text}"
        return replace(failed(TransientPipelineError(text), ends=True), is_gpu_full=True)
    if _names(error) & _OUT_OF_MEMORY:
        return failed(TransientPipelineError(text), ends=True)
    if isolation.parts and isinstance(error, OSError) and error.errno in _FORBIDDEN:
        text = (
            "the pipeline tried what its isolation forbids: it may write to its scratch folder "
            f"alone, read its own folder and input, and open no connection; {text}"
        )
    return failed(PermanentPipelineError(text), ends=True)


def is_gpu_full(error: BaseException) -> bool:
    """Return whether this, or what it was raised from, says that a GPU had no memory left."""
    return any(
        _names(one) & _OUT_OF_GPU
        or (isinstance(one, RuntimeError) and any(text in str(one) for text in _OUT_OF_GPU_TEXTS))
        for one in _with_causes(error)
    )


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    one: BaseException | None = error
    while one is not None:
        yield one
        one = one.__cause__ or one.__context__


def _names(error: BaseException) -> frozenset[str]:
    return frozenset(kind.__name__ for kind in type(error).__mro__)
