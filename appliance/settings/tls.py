"""TLS for DICOM: what we show, and whom we believe. The profile itself is not a setting."""

from typing import Self

from pydantic import Field, model_validator

from appliance.core.documents import Document, mistakes_at
from appliance.core.tls import PORT
from appliance.settings.values import AbsolutePath, Address, Endpoint, HostName


class ReceiverTls(Document):
    """The receiver's second port, with TLS."""

    listen: Address = Field(
        default=Endpoint(host="0.0.0.0", port=PORT),  # noqa: S104 - modalities call from outside
        description="Address and port on which images come in over TLS.",
    )
    certificate: AbsolutePath = Field(
        description="PEM file with our certificate and its chain. A new one is taken without a "
        "restart; while it does not fit its key, the old one goes on."
    )
    key: AbsolutePath = Field(
        description="PEM file with its key, without a password; readable by the appliance only."
    )
    client_ca: AbsolutePath | None = Field(
        default=None,
        description="PEM file with the authorities (or the certificates themselves) of those who "
        "may send. Without it, nobody is asked for a certificate.",
    )
    only: bool = Field(
        default=False, description="Whether `receiver.listen`, the port without TLS, stays closed."
    )


class NodeTlsSettings(Document):
    """TLS to another node."""

    ca: AbsolutePath = Field(
        description="PEM file with the authority of its certificate, or with that certificate."
    )
    certificate: AbsolutePath | None = Field(
        default=None, description="PEM file with the certificate and chain that we show it."
    )
    key: AbsolutePath | None = Field(
        default=None, description="PEM file with the key of that certificate, without a password."
    )
    name: HostName | None = Field(
        default=None,
        description="The name that its certificate is made out to. Without it, the host of its "
        "address.",
    )

    @model_validator(mode="after")
    def _certificate_and_key(self) -> Self:
        if (self.certificate is None) is not (self.key is None):
            missing, other = ("key", "certificate") if self.certificate else ("certificate", "key")
            raise mistakes_at(((missing,), f"is missing; {other} is of no use without it"))
        return self
