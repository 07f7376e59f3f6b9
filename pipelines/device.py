"""Which device a model runs on: what was asked for, or an error; never silently another."""

import re
import sys
from typing import Any

from appliance.core.errors import ConfigError, TransientPipelineError
from appliance.core.quantities import format_size
from pipelines.manifest import Manifest

CPU = "cpu"
AUTO = "auto"
_USABLE = 0.9  # of a GPU's memory: the driver keeps some of it
_CUDA = re.compile(r"cuda(?::(\d+))?")


class GpuFull(TransientPipelineError):
    """The GPU would do, but others hold its memory; `lacking` bytes would have to be freed."""

    def __init__(self, text: str, lacking: int) -> None:
        super().__init__(text)
        self.lacking = lacking


def is_device(text: str) -> bool:
    """Return whether `text` is something to ask for: auto, cpu, cuda or cuda:N."""
    return text in (AUTO, CPU) or _CUDA.fullmatch(text) is not None


def is_gpu(device: str) -> bool:
    """Return whether a device, as a child tells it, is a GPU."""
    return device != CPU


def choose(wanted: str, manifest: Manifest, needed: int = 0) -> str:
    """Return the device for `manifest`: "cpu" or "cuda:N".

    A pipeline that uses a GPU needs as much of it as its manifest says, or `needed` bytes if that
    is more. "auto" takes the GPU with the most free memory, and the CPU where no GPU has so much
    even when it is empty. Raises GpuFull where one has, but not now, and ConfigError where a
    device that was asked for by name is not there or too small.
    """
    if not is_device(wanted):
        raise ConfigError(f"device: {wanted!r} is not one of auto, cpu, cuda, cuda:0, cuda:1, …")
    if wanted == CPU or (wanted == AUTO and manifest.gpu_memory is None):
        return CPU
    if manifest.gpu_memory is None:
        raise ConfigError(f"device: {wanted}: {manifest.name} runs on the CPU only; write cpu")
    number = _CUDA.fullmatch(wanted)
    there = _memory()
    if number and number[1]:
        there = {index: sizes for index, sizes in there.items() if index == int(number[1])}
    large = {index: sizes for index, sizes in there.items() if sizes[1] >= manifest.gpu_memory}
    if large:
        best = max(large, key=lambda index: large[index][0])
        free, total = large[best]
        # What an earlier run took is an estimate: it never asks for more than there is.
        return _if_free(best, free, max(manifest.gpu_memory, min(needed, int(total * _USABLE))))
    if wanted == AUTO:
        return CPU
    found = ", ".join(f"cuda:{index} with {format_size(t)}" for index, (_, t) in there.items())
    raise ConfigError(
        f"device: {wanted}: {manifest.name} needs a GPU with {format_size(manifest.gpu_memory)}; "
        f"there is {found or 'none'}; write auto or cpu to run without"
    )


def _if_free(index: int, free: int, needed: int) -> str:
    if free >= needed:
        return f"cuda:{index}"
    raise GpuFull(
        f"it needs {format_size(needed)} of a GPU; cuda:{index} has {format_size(free)} free, "
        "others hold the rest",
        needed - free,
    )


def _memory() -> dict[int, tuple[int, int]]:
    """Return the free bytes and all bytes of each GPU that this process sees."""
    import torch  # noqa: PLC0415 -- takes a second; pipelines without a GPU never pay it

    if not torch.cuda.is_available():
        return {}
    return {index: torch.cuda.mem_get_info(index) for index in range(torch.cuda.device_count())}


class Device:
    """The device that this process uses; on a GPU, PyTorch may take `limit` bytes (0: all)."""

    def __init__(self, name: str, limit: int) -> None:
        self.name = name
        if is_gpu(name):
            self._free, total = map(int, self._cuda().mem_get_info(name))
            if limit:
                self._cuda().set_per_process_memory_fraction(min(limit / total, 1.0), name)

    def held(self) -> int:
        """Return the bytes of the GPU that this process holds; 0 on the CPU.

        What has gone from the free memory since it chose the device, if that is more than what
        PyTorch has: other libraries do not tell.
        """
        if not is_gpu(self.name):
            return 0
        free, _ = self._cuda().mem_get_info(self.name)
        reserved: int = self._cuda().memory_reserved(self.name)
        return max(self._free - int(free), reserved)

    @staticmethod
    def _cuda() -> Any:  # noqa: ANN401, a module
        return sys.modules["torch"].cuda
