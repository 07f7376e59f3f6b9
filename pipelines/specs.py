"""What each kind of pipeline is told in its manifest beside what all have in common."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated

from pydantic import BeforeValidator, Field

from appliance.core.documents import Document
from pipelines.fields import FileName, Name, Text, matching


class Kind(StrEnum):
    """How a pipeline is run. `pipelines.registry` has one builder for each."""

    PYTHON = "python"
    MONAI_BUNDLE = "monai-bundle"
    ONNX = "onnx"
    TORCH = "torch"
    COMMAND = "command"


# The key of the manifest that a kind, and no other, writes.
SECTION_OF: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.PYTHON: "entry",
        Kind.MONAI_BUNDLE: "bundle",
        Kind.ONNX: "network",
        Kind.TORCH: "network",
        Kind.COMMAND: "command",
    }
)

ParameterValue = bool | int | float | str

Entry = Annotated[
    str, matching(r"[A-Za-z_]\w*\.py:[A-Za-z_]\w*", "an entry like pipeline.py:ClassName")
]


class Parameter(Document):
    """A number or switch that a site may set; what it is without being set."""

    name: Annotated[str, matching(r"[a-z][a-z0-9_]{0,62}", "a parameter's name: a-z, 0-9 and _")]
    """What settings call it."""
    default: ParameterValue
    """What it is without being set; the site's value must be of the same type."""
    meaning: Text
    """What it does."""
    shadow_only: bool = False
    """Whether it may be set only where no route sends the results."""


class Numbers(StrEnum):
    """What the numbers are that a bundle's postprocessing writes into its label map."""

    CHANNELS = "channels"  # the network's channels, as channel_def in metadata.json names them
    OWN = "own"  # its own: `outputs` and `left_out` have all of them


DataKey = Annotated[str, matching(r"[A-Za-z_]\w*", "a key of a bundle's data: letters, digits, _")]
Channels = Annotated[
    tuple[Name, ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
    Field(min_length=1),
]


class Bundle(Document):
    """A MONAI bundle as it was published; `inference` and `metadata` are its own files."""

    inference: FileName = "configs/inference.json"
    """The bundle's configuration; the folder around its configs is the bundle's root."""
    metadata: FileName = "configs/metadata.json"
    """The bundle's metadata."""
    inputs: Mapping[DataKey, Channels] = Field(default_factory=dict)
    """Key of the bundle's data to our input, or to a list with one for each channel of its image;
    not needed where there is one of each.
    """
    numbers: Numbers = Numbers.CHANNELS
    """What the numbers in its label map are."""
    left_out: tuple[int, ...] = ()
    """Numbers that it marks and that are not reported."""
