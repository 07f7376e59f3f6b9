"""What a pipeline says of itself to people: what it may be used for, and as what."""

from enum import StrEnum
from typing import Annotated

from pydantic import model_validator

from appliance.core.documents import Document
from pipelines.fields import matching


class RegulatoryStatus(StrEnum):
    """What the pipeline may be used for, as its maker says."""

    RESEARCH = "research"
    CLEARED = "cleared"


class ClinicalRole(StrEnum):
    """What a result is to a reader."""

    QUANTIFICATION = "quantification"
    DETECTION = "detection"
    TRIAGE = "triage"
    QUALITY = "quality"


class Regulatory(Document):
    """Regulatory status; a cleared product names what cleared it."""

    status: RegulatoryStatus
    # Stands in the description of each series of ours, which holds 64 characters in all.
    reference: Annotated[
        str, matching(r"[^\\\x00-\x1f]{0,40}", "at most 40 characters without a backslash")
    ] = ""

    @model_validator(mode="after")
    def _cleared_by_something(self) -> "Regulatory":
        if self.status is RegulatoryStatus.CLEARED and not self.reference:
            raise ValueError("a cleared pipeline names its clearance: write reference")
        return self

    @property
    def label(self) -> str:
        """Return the words that stand beside every result."""
        if self.status is RegulatoryStatus.RESEARCH:
            return "Research, not for diagnosis"
        return f"Cleared: {self.reference}"
