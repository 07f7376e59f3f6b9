"""What a pipeline wants to be given: which series, and what they must show."""

from enum import StrEnum

from pydantic import Field

from appliance.core.documents import Document
from pipelines.fields import Name, Text, WrittenCondition, WrittenPreference


class PatientDirection(StrEnum):
    """A direction in the patient."""

    LEFT = "left"
    RIGHT = "right"
    ANTERIOR = "anterior"
    POSTERIOR = "posterior"
    HEAD = "head"
    FEET = "feet"


class Coverage(Document):
    """What a volume must show. Lengths in mm along the patient's axes."""

    left_right: float = Field(default=0.0, ge=0)
    anterior_posterior: float = Field(default=0.0, ge=0)
    head_feet: float = Field(default=0.0, ge=0)
    max_spacing: float | None = Field(default=None, gt=0)
    not_cut: tuple[PatientDirection, ...] = ()  # where the body must end before the image does


class Input(Document):
    """One series that the pipeline needs."""

    name: Name
    title: Text
    select: WrittenCondition
    prefer: tuple[WrittenPreference, ...] = ()
    required: bool = True  # false: the pipeline can do without
    coverage: Coverage = Coverage()
