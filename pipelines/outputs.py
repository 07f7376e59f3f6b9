"""What a pipeline says: structures that it marks, each with its code and its class number."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from appliance.core.documents import Document
from pipelines.fields import Text, WrittenCode


class Sides(StrEnum):
    """Whether a structure has a left and a right part."""

    PAIRED = "paired"
    MIDLINE = "midline"
    LEFT = "left"  # the model has a label of its own for each side
    RIGHT = "right"
    NOT_TOLD = "not-told"  # it may be either; nothing says which, and nothing is written


class Output(Document):
    """One structure that the pipeline marks and measures."""

    label: int = Field(ge=1, le=255)  # the model's own class number
    name: Text
    structure: WrittenCode
    category: WrittenCode
    sides: Sides
    color: tuple[
        Annotated[int, Field(ge=0, le=255)],
        Annotated[int, Field(ge=0, le=255)],
        Annotated[int, Field(ge=0, le=255)],
    ]
