"""Does a network's file take what its manifest would give it? Told when it is loaded. Pure.

An axis of a network is a number, or None where the file leaves it open (a dynamic axis) or does
not say.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from appliance.core.errors import ConfigError, PermanentPipelineError
from pipelines.manifest import Manifest
from pipelines.network import Network

Axes = tuple[int | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What a file says of itself: axes are (batch, channel, *spatial); None: it does not say."""

    file: str
    takes: Axes | None
    gives: Axes | None


def check(signature: Signature, manifest: Manifest, network: Network) -> None:
    """Compare a file with the manifest beside it. Raises ConfigError with every difference."""
    found = [
        *(_input(signature.takes, manifest, network) if signature.takes is not None else ()),
        *(_output(signature.gives, manifest, network) if signature.gives is not None else ()),
    ]
    if found:
        raise ConfigError(*(f"{signature.file}: {problem}" for problem in found))


def check_channels(found: int, manifest: Manifest, network: Network) -> None:
    """Compare the channels that a network gave with the manifest. Raises PermanentPipelineError."""
    problem = _channels(found, manifest, network)
    if problem:
        raise PermanentPipelineError(problem)


def _input(takes: Axes, manifest: Manifest, network: Network) -> Iterator[str]:
    spatial = 2 if network.inference.slices is not None else 3
    if len(takes) != 2 + spatial:
        advice = "write inference.slices for it" if len(takes) == 4 else "it cannot be used"
        yield (
            f"its input has {len(takes)} axes {_written(takes)}, and what it would be given has "
            f"{2 + spatial}: batch, channel and {spatial} of space; {advice}"
        )
        return
    batch, channels, *sizes = takes
    if batch is not None and batch != network.inference.batch:
        yield (
            f"axis 0 of its input, the batch, is fixed at {batch}, and the manifest gives "
            f"{network.inference.batch} at a time; export it with a dynamic axis, or write that "
            "number as batch under inference"
        )
    if channels is not None and channels != len(manifest.inputs):
        yield (
            f"axis 1 of its input, the channels, is fixed at {channels}, and the manifest has "
            f"{len(manifest.inputs)} inputs, one a channel"
        )
    yield from _spatial(sizes, network)


def _spatial(sizes: list[int | None], network: Network) -> Iterator[str]:
    window = list(network.window)
    if network.inference.slices is not None:
        del window[network.inference.slices.axis]
    windowed = network.inference.sliding_window is not None
    for axis, (fixed, given) in enumerate(zip(sizes, window, strict=True), 2):
        if fixed is None or fixed == given:
            continue
        if given is None:
            yield (
                f"axis {axis} of its input is fixed at {fixed}, and volumes differ in size there; "
                "export it with a dynamic axis, or write inference.sliding_window with that size "
                "in roi_size, or end preprocess with ResizeWithPadOrCrop or Resize to that size"
            )
        else:
            what = "inference.sliding_window.roi_size" if windowed else "preprocess"
            yield (
                f"axis {axis} of its input is fixed at {fixed}, and {what} gives {given}; write "
                f"{fixed} there, or export it with a dynamic axis"
            )


def _output(gives: Axes, manifest: Manifest, network: Network) -> Iterator[str]:
    axes = 2 if manifest.scores else (4 if network.inference.slices is not None else 5)
    if len(gives) != axes:
        kind = "scores" if manifest.scores else "outputs that are marked"
        yield (
            f"its output has {len(gives)} axes {_written(gives)}; for {kind} it must have {axes}"
        )
    elif gives[1] is not None:
        problem = _channels(gives[1], manifest, network)
        if problem:
            yield problem


def _channels(found: int, manifest: Manifest, network: Network) -> str:
    promised = network.promised(manifest.outputs, manifest.scores)
    least = max((score.channel + 1 for score in manifest.scores), default=0)
    if promised is not None and found != promised:
        from_what = "network.channels" if network.channels is not None else "the labels of outputs"
        return (
            f"the network gives {_count(found)}, and the manifest promises {promised} "
            f"({from_what}); write network.channels: {found} if that is right"
        )
    if found < least:
        return f"the network gives {_count(found)}, and scores name channel {least - 1} (from 0)"
    return ""


def _count(channels: int) -> str:
    return f"{channels} channel" if channels == 1 else f"{channels} channels"


def _written(axes: Axes) -> str:
    return "(" + ", ".join("?" if size is None else str(size) for size in axes) + ")"
