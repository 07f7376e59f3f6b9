"""Other doors than the DICOM listener: STOW-RS, fetching by rule, a folder for imports."""

from datetime import timedelta
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from appliance.core.documents import Document
from appliance.core.quantities import Duration, Size
from appliance.settings.values import AbsolutePath, AeTitle, mistakes_at


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
        description="Patience with each piece of a body.",
    )
