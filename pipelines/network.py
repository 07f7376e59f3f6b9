"""The section `network` of a manifest: one file with a network, and what is done round it.

Read without importing MONAI, PyTorch or onnxruntime; `pipelines.kinds` runs what is said here.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from appliance.core.documents import Document, KeyPath
from pipelines.fields import FileName, Text
from pipelines.inputs import Form, Input, Take
from pipelines.outputs import Output, Score
from pipelines.steps import Afterwards, Factors, Size, Step, size_of


class Precision(StrEnum):
    """In which numbers a PyTorch network computes where that is safe (autocast)."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


class Activation(StrEnum):
    """How a network's numbers become probabilities."""

    SOFTMAX = "softmax"  # over all channels; channel 0 is background
    SIGMOID = "sigmoid"  # each channel for itself; there is no background channel
    NONE = "none"  # they are probabilities already; channel 0 is background


class SlidingWindow(Document):
    """Windows of `roi_size` voxels over the preprocessed volume, blended where they overlap."""

    roi_size: Factors
    """Size in voxels."""
    overlap: float = Field(default=0.25, ge=0, lt=1)
    """How much of one window the next one covers, from 0 to below 1."""
    mode: Literal["constant", "gaussian"] = "gaussian"
    """How overlapping windows are blended."""
    batch: int = Field(default=1, ge=1)
    """Windows at a time."""


class Slices(Document):
    """Each plane across `axis` of the preprocessed volume by itself, to a 2-D network.

    Several radiographs are planes too.
    """

    axis: int = Field(default=0, ge=0, le=2)
    """The axis across the planes, of the preprocessed volume."""
    batch: int = Field(default=1, ge=1)
    """Planes at a time."""


class Inference(Document):
    """How a volume is given to the network: whole where nothing is written."""

    sliding_window: SlidingWindow | None = None
    """In windows."""
    slices: Slices | None = None
    """Plane by plane, to a network of two dimensions."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.sliding_window is not None and self.slices is not None:
            raise ValueError("write sliding_window or slices, not both")
        return self

    @property
    def batch(self) -> int:
        """Return how many windows or planes the network is given at a time."""
        way = self.sliding_window or self.slices
        return 1 if way is None else way.batch


class Network(Document):
    """One file with a network, and what is done to a volume before and after it."""

    file: FileName
    """The file; its SHA-256 must stand under weights."""
    input: Text | None = None
    """ONNX: the name of the input that takes the tensor; needed only where there are several."""
    output: Text | Annotated[int, Field(ge=0)] | None = None
    """The output's name (ONNX) or its place from 0, where there are several."""
    channels: Annotated[int, Field(ge=1)] | None = None
    """How many channels the network gives, where outputs do not name the last."""
    preprocess: tuple[Step, ...] = ()
    """Steps before the network, in this order."""
    inference: Inference = Inference()
    """How a volume is given to it; the whole at once where nothing is written."""
    activation: Activation = Activation.SOFTMAX
    """How its numbers become probabilities."""
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    """With sigmoid: what a channel must exceed; 0.5 if not written."""
    postprocess: tuple[Afterwards, ...] = ()
    """Steps after it, on the source's voxels."""
    precision: Precision = Precision.FLOAT32
    """Kind torch: in which numbers it computes where that is safe."""
    deterministic: bool = False
    """The same bits each time, or an error."""

    @model_validator(mode="after")
    def _threshold_of_a_sigmoid(self) -> Self:
        if self.threshold is not None and self.activation is not Activation.SIGMOID:
            raise ValueError(
                f"threshold belongs to activation sigmoid; with {self.activation} the most likely "
                "class is taken"
            )
        return self

    def channel_of(self, label: int) -> int:
        """Return the channel, from 0, that is the class number `label` of an output."""
        return label - 1 if self.activation is Activation.SIGMOID else label

    @property
    def window(self) -> Size:
        """Return the size of what the network is given, as far as the manifest tells it."""
        if self.inference.sliding_window is not None:
            return self.inference.sliding_window.roi_size
        return size_of(self.preprocess)

    def promised(self, outputs: tuple[Output, ...], scores: tuple[Score, ...]) -> int | None:
        """Return how many channels the network gives; None where the manifest leaves it open."""
        if self.channels is not None or scores or not outputs:
            return self.channels
        return self.channel_of(max(output.label for output in outputs)) + 1


Mistake = tuple[KeyPath, str]


def problems(
    network: Network,
    inputs: tuple[Input, ...],
    outputs: tuple[Output, ...],
    scores: tuple[Score, ...],
) -> Iterator[Mistake]:
    """Yield what in the rest of the manifest does not go with its network, with its key."""
    yield from _inputs(network, inputs, scores)
    if bool(outputs) == bool(scores):
        yield ("network",), "either marks structures or gives numbers; write outputs or scores"
    yield from _too_few_channels(network, outputs, scores)
    labels = {output.label for output in outputs}
    for number, step in enumerate(network.postprocess):
        unknown = sorted(set(step.arguments.labels) - labels)
        if unknown:
            yield ("network", "postprocess", number), f"no output has the label {unknown[0]}"
    if scores and network.inference.sliding_window is not None:
        yield ("network", "inference"), "scores are of a whole image, not of windows; leave it out"
    if scores and network.postprocess:
        yield ("network", "postprocess"), "is for labels, and scores have none; leave it out"


def _inputs(
    network: Network, inputs: tuple[Input, ...], scores: tuple[Score, ...]
) -> Iterator[Mistake]:
    are_images = len(inputs) == 1 and bool(scores) and network.inference.slices is not None
    for number, item in enumerate(inputs):
        if not item.required:
            yield ("inputs", number, "required"), "a network needs each of its inputs; leave it out"
        takes_all = item.split is not None and item.split.take is Take.ALL
        if takes_all and not (are_images and item.form is Form.IMAGE):
            yield (
                ("inputs", number, "split"),
                (
                    "a network takes one volume, not all; say which. All is for radiographs: form "
                    "image, one input, scores, inference.slices"
                ),
            )
    if len(inputs) > 1:
        for number, step in enumerate(network.preprocess):
            if step.name == "Conform":
                yield ("network", "preprocess", number), "Conform takes one input only"


def _too_few_channels(
    network: Network, outputs: tuple[Output, ...], scores: tuple[Score, ...]
) -> Iterator[Mistake]:
    if network.channels is None:
        return
    where = ("network", "channels")
    if network.channels == 1 and _tells_apart(network.activation, outputs):
        yield (
            where,
            (
                f"one channel and activation {network.activation} leave nothing to tell apart; a "
                "network with one channel has activation sigmoid"
            ),
        )
    for name, channel in (
        *((output.name, network.channel_of(output.label)) for output in outputs),
        *((score.name, score.channel) for score in scores),
    ):
        if channel >= network.channels:
            yield (
                where,
                f"{name} is channel {channel}, from 0, of a network with {network.channels}",
            )


def _tells_apart(activation: Activation, outputs: tuple[Output, ...]) -> bool:
    return activation is Activation.SOFTMAX or (bool(outputs) and activation is Activation.NONE)
