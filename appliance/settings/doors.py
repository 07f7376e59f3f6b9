"""Other doors than the DICOM listener: STOW-RS, fetching by rule, a folder for imports."""

import re
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from appliance.core.documents import Document, mistakes_at
from appliance.core.quantities import Duration, Size
from appliance.settings.values import AbsolutePath, AeTitle, Name


def check_sha256(text: str) -> str:
    """Return `text` in lower case if it is a SHA-256 in hexadecimal digits. Raises ValueError."""
    lower = text.lower()
    if len(lower) != 64 or not set(lower) <= set("0123456789abcdef"):
        raise ValueError("is no SHA-256; write what `printf %s TOKEN | sha256sum` prints")
    return lower


class StowClientSettings(Document):
    """A node that may send by STOW-RS. One of token_sha256 and token_file."""

    ae_title: AeTitle = Field(description="The name under which what it sends is kept.")
    token_sha256: Annotated[str, AfterValidator(check_sha256)] | None = Field(
        default=None,
        description="SHA-256 of its bearer token, as `printf %s TOKEN | sha256sum` prints it.",
    )
    token_file: AbsolutePath | None = Field(
        default=None, description="A file that holds its bearer token, at least 16 characters."
    )

    @model_validator(mode="after")
    def _one_token(self) -> Self:
        if (self.token_sha256 is None) == (self.token_file is None):
            raise mistakes_at((("ae_title",), "write either token_sha256 or token_file"))
        return self


class StowSettings(Document):
    """STOW-RS at /dicom-web/studies of the web pages' address, so by TLS as they are."""

    clients: tuple[StowClientSettings, ...] = Field(
        min_length=1, description="Who may send, by bearer token."
    )
    max_request: Size = Field(
        default=20 * 10**9, ge=10**6, description="Largest body; a larger one is refused (413)."
    )
    max_parts: int = Field(
        default=10_000, ge=1, le=1_000_000, description="Most instances of one request."
    )
    max_requests: int = Field(
        default=8, ge=1, le=100, description="Requests at one time; more are sent away (503)."
    )
    timeout: Duration = Field(
        default=timedelta(seconds=60),
        gt=timedelta(0),
        description="Patience with each megabyte of a body.",
    )


_DAYS = re.compile(r"today|last ([1-9][0-9]?) d")


def check_days(text: str) -> str:
    """Return `text` if it says which days a study may be of. Raises ValueError."""
    if not _DAYS.fullmatch(text):
        raise ValueError(f"{text!r}: write today, or last N d with N from 1 to 99")
    return text


def check_code(text: str) -> str:
    """Return `text` if it is a Modality. Raises ValueError. PS3.3 section C.7.3.1.1.1."""
    if not re.fullmatch(r"[A-Z0-9_]{1,16}", text):
        raise ValueError(f"{text!r} is no modality; write one like MR")
    return text


def check_pattern(text: str) -> str:
    """Return `text` if it can be a key for a description. Raises ValueError. PS3.5, VR LO."""
    if not 1 <= len(text) <= 64 or "\\" in text or not (text.isascii() and text.isprintable()):
        raise ValueError(f"{text!r}: write 1 to 64 plain characters; * and ? stand for others")
    return text


class FetchMatch(Document):
    """Which studies are fetched; the node compares."""

    study_date: Annotated[str, AfterValidator(check_days)] = Field(
        default="last 2 d",
        alias="StudyDate",
        description="today, or last N d. With today a study of the last minutes before midnight "
        "is missed.",
    )
    modality: Annotated[str, AfterValidator(check_code)] | None = Field(
        default=None, alias="Modality", description="A modality that the study has."
    )
    study_description: Annotated[str, AfterValidator(check_pattern)] | None = Field(
        default=None,
        alias="StudyDescription",
        description="With * for any characters and ? for one.",
    )

    @property
    def days(self) -> int:
        """Return how many days back, today included."""
        found = _DAYS.fullmatch(self.study_date)
        return int(found[1]) if found and found[1] else 1


class FetchRule(Document):
    """Studies that are fetched without being asked for, where an archive cannot route."""

    node: Name = Field(alias="from", description="The destination that is asked.")
    every: Duration = Field(
        default=timedelta(minutes=5), ge=timedelta(seconds=10), description="How often it is asked."
    )
    match: FetchMatch = Field(default_factory=FetchMatch, description="What is fetched.")
    at_most: int = Field(
        default=2, ge=1, le=1000, description="Studies fetched each time, one after the other."
    )
    pause: Duration = Field(
        default=timedelta(seconds=1), ge=timedelta(0), description="Between two series."
    )
    images_per_second: float | None = Field(
        default=None, gt=0, description="On average at most; for an archive that feels it."
    )


class ImportSettings(Document):
    """A folder whose DICOM files are imported."""

    folder: AbsolutePath = Field(
        description="The folder, with all below it. Symbolic links are not followed."
    )
    settle: Duration = Field(
        default=timedelta(seconds=10),
        ge=timedelta(seconds=1),
        description="Time that a file must not have changed.",
    )
    after: Literal["keep", "delete"] = Field(
        default="keep",
        description="What becomes of a file once it is durable here. What is no DICOM file that "
        "can be taken is never deleted.",
    )
