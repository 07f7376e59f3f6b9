"""What a pipeline says: structures that it marks, and numbers that it gives, with their codes."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

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

    label: int = Field(ge=1, le=255)
    """The model's own class number."""
    name: Text
    """What it is called."""
    structure: WrittenCode
    """What it is."""
    category: WrittenCode
    """Of what kind that is: an anatomical structure, a lesion, …"""
    sides: Sides
    """Whether it has a left and a right part, and who tells them apart."""
    color: tuple[
        Annotated[int, Field(ge=0, le=255)],
        Annotated[int, Field(ge=0, le=255)],
        Annotated[int, Field(ge=0, le=255)],
    ]
    """How it is drawn: red, green, blue."""
    expected_ml: tuple[float, float] | None = None
    """The least and the greatest volume in the training data, each side for itself; outside of them
    a result is flagged.
    """

    @model_validator(mode="after")
    def _expected_in_order(self) -> Self:
        if self.expected_ml is not None and self.expected_ml[0] > self.expected_ml[1]:
            raise ValueError(f"expected_ml: {self.expected_ml} is not in rising order")
        return self


class Combine(StrEnum):
    """How the numbers of several images become the study's."""

    HIGHEST = "highest"
    LOWEST = "lowest"
    MEAN = "mean"


class Score(Document):
    """One number that a network gives of a whole image: a probability, an age, a grade."""

    channel: int = Field(ge=0)
    """Of the network's output, from 0."""
    name: Text
    """What it is called."""
    structure: WrittenCode
    """What it is said of: an organ, a region."""
    concept: WrittenCode
    """What is said."""
    unit: WrittenCode
    """Its unit (UCUM); 1 where there is none."""
    combine: Combine = Combine.HIGHEST
    """Where the input has several images: which number is the study's."""
