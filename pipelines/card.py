"""What a pipeline says of itself to people: what it may be used for, and on what ground."""

from datetime import date
from enum import StrEnum
from typing import Annotated

from pydantic import model_validator

from appliance.core.documents import Document, mistakes_at
from pipelines.fields import Text, matching


class RegulatoryStatus(StrEnum):
    """What the pipeline may be used for, as its maker says."""

    RESEARCH = "research"
    CLEARED = "cleared"


class Regulatory(Document):
    """Regulatory status; a cleared product names what cleared it, where and until when."""

    status: RegulatoryStatus
    """What it may be used for."""
    # Both stand in the description of each series of ours, which holds 64 characters in all.
    identifier: Annotated[
        str, matching(r"[^\\\x00-\x1f]{0,30}", "at most 30 characters without a backslash")
    ] = ""
    """Number of the clearance; needed where cleared."""
    jurisdiction: Annotated[
        str, matching(r"([A-Z]{2,3})?", "a jurisdiction: two or three capitals, like US or EU")
    ] = ""
    """Where it was cleared, in two or three capitals."""
    expires: date | None = None
    """Last day of the clearance, as YYYY-MM-DD."""

    @model_validator(mode="after")
    def _cleared_by_something(self) -> "Regulatory":
        missing = [
            ((key,), f"a cleared pipeline names its clearance: write {key}")
            for key in ("identifier", "jurisdiction")
            if self.status is RegulatoryStatus.CLEARED and not getattr(self, key)
        ]
        if missing:
            raise mistakes_at(*missing)
        return self

    @property
    def label(self) -> str:
        """Return the words that stand beside every result while the status holds."""
        if self.status is RegulatoryStatus.RESEARCH:
            return "Research, not for diagnosis"
        return f"Cleared: {self.identifier} ({self.jurisdiction})"

    def is_expired(self, day: date) -> bool:
        """Return whether the clearance had ended on `day`."""
        return self.expires is not None and day > self.expires

    def label_on(self, day: date) -> str:
        """Return the words that stand beside a result made on `day`."""
        return (
            self.label.replace("Cleared", "No longer cleared")
            if self.is_expired(day)
            else self.label
        )


class Training(Document):
    """One body of data that the model learnt from."""

    what: Text
    """What data."""
    number: Text
    """How much, of how many people: 224 volumes of 195 people."""
    where: Text
    """From which scanners, sites and years, as far as is known."""
    licence: Text
    """Their licence."""


class Metric(Document):
    """One number that says how good the model is, with where it comes from."""

    name: Text
    """What was measured: Dice, sensitivity, …"""
    value: float
    """The number."""
    unit: str = ""
    """Its unit; empty for a ratio."""
    interval: str = ""
    """Its uncertainty, with what that is: 95 % CI 0.87 to 0.90."""
    data: Text
    """On what it was measured."""
    source: Text
    """Who measured it: a publication, or a command that does it again."""
