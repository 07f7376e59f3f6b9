"""What people see, and what watches the numbers."""

from datetime import timedelta
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from appliance.core.documents import Document, mistakes_at
from appliance.core.quantities import Duration
from appliance.settings.values import AbsolutePath, Address, BaseUrl, Endpoint

DEFAULT_FORMS = Path("/etc/appliance/forms")


class Tls(Document):
    """The web server's certificate."""

    certificate: AbsolutePath = Field(description="PEM file with the certificate chain.")
    key: AbsolutePath = Field(description="PEM file with its key; readable by the appliance only.")


class WebSettings(Document):
    """The pages: worklist, review, drift."""

    listen: Address = Field(
        default=Endpoint(host="127.0.0.1", port=8443),
        description="Address and port of the pages. Other than loopback only with tls.",
    )
    tls: Tls | None = Field(default=None, description="Certificate and key.")
    base_url: BaseUrl | None = Field(
        default=None,
        description="The address under which readers reach the pages; signed links start with "
        "it. Without it, what `listen` says.",
    )
    forms: AbsolutePath = Field(
        default=DEFAULT_FORMS, description="Folder of feedback forms, one YAML file each."
    )
    session: Duration = Field(
        default=timedelta(hours=8),
        gt=timedelta(0),
        description="Time after which a reader signs in again.",
    )
    link_lifetime: Duration = Field(
        default=timedelta(hours=12),
        gt=timedelta(0),
        description="Time for which a signed link from the PACS opens its study.",
    )

    @model_validator(mode="after")
    def _tls_or_loopback(self) -> Self:
        if self.tls is None and not self.listen.is_loopback:
            advice = (
                f"{self.listen} is open to others, and there is no tls; write "
                "tls: {certificate: …, key: …}, or listen on 127.0.0.1 behind a proxy with TLS"
            )
            raise mistakes_at((("listen",), advice))
        if self.tls is not None and self.url.startswith("http://"):
            raise mistakes_at(
                (("base_url",), "starts with http://, but there is tls; write https://")
            )
        return self

    @property
    def url(self) -> str:
        """Return the address under which readers reach the pages, without a last slash."""
        return self.base_url or f"{'https' if self.tls else 'http'}://{self.listen}"


class DriftSettings(Document):
    """When pipelines' inputs and outputs are compared with their reference period, and how."""

    every: Duration = Field(
        default=timedelta(hours=1), ge=timedelta(seconds=1), description="Time between sweeps."
    )
    window: Duration = Field(
        default=timedelta(days=30),
        gt=timedelta(0),
        description="How far back the compared window reaches.",
    )
    min_rows: int = Field(
        default=30,
        ge=5,
        description="Studies that window and reference must each have; with fewer, no number.",
    )
    psi: float = Field(
        default=0.25,
        gt=0,
        description="Population stability index at which an alert is raised. A habit of the "
        "trade without theory behind it; grows with few studies.",
    )
    p_value: float = Field(
        default=0.01,
        gt=0,
        lt=1,
        description="Error rate of the tests (KS, chi-square) for all features of a pipeline "
        "together; each feature gets its share (Bonferroni).",
    )
