"""Which device a model runs on: what was asked for, or an error; never silently another."""

import re

from appliance.core.errors import ConfigError
from appliance.core.quantities import format_size
from pipelines.manifest import Manifest

CPU = "cpu"
AUTO = "auto"
_CUDA = re.compile(r"cuda(?::(\d+))?")


def is_device(text: str) -> bool:
    """Return whether `text` is something to ask for: auto, cpu, cuda or cuda:N."""
    return text in (AUTO, CPU) or _CUDA.fullmatch(text) is not None


def choose(wanted: str, manifest: Manifest) -> str:
    """Return the device for `manifest`: "cpu" or "cuda:N".

    "auto" takes the GPU with the most free memory if the pipeline uses one and it has enough
    free, else the CPU. Raises ConfigError where a device that was asked for by name is not there
    or too full.
    """
    if not is_device(wanted):
        raise ConfigError(f"device: {wanted!r} is not one of auto, cpu, cuda, cuda:0, cuda:1, …")
    if wanted == CPU or (wanted == AUTO and manifest.gpu_memory is None):
        return CPU
    if manifest.gpu_memory is None:
        raise ConfigError(f"device: {wanted}: {manifest.name} runs on the CPU only; write cpu")
    number = _CUDA.fullmatch(wanted)
    free = _free_memory()
    if number and number[1]:
        free = {index: size for index, size in free.items() if index == int(number[1])}
    enough = {index: size for index, size in free.items() if size >= manifest.gpu_memory}
    if enough:
        return f"cuda:{max(enough, key=lambda index: enough[index])}"
    if wanted == AUTO:
        return CPU
    there = ", ".join(f"cuda:{index} with {format_size(size)} free" for index, size in free.items())
    raise ConfigError(
        f"device: {wanted}: {manifest.name} needs a GPU with {format_size(manifest.gpu_memory)} "
        f"free; there is {there or 'none'}; write auto or cpu to run without"
    )


def _free_memory() -> dict[int, int]:
    """Return the free bytes of each GPU that this process sees."""
    import torch  # noqa: PLC0415 -- takes a second; pipelines without a GPU never pay it

    if not torch.cuda.is_available():
        return {}
    return {
        index: int(torch.cuda.mem_get_info(index)[0]) for index in range(torch.cuda.device_count())
    }
