"""TLS to a node: the connection, and in plain words why there is none. PS3.15 annex B.12."""

import ssl
from dataclasses import dataclass
from typing import Any

from appliance.core.tls import TlsFiles, client_context


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTls:
    """Whom to believe that it is the node, and what we show. `files.trusted` is needed.

    `name` stands in the node's certificate; without it, the host does.
    """

    files: TlsFiles
    name: str | None = None


class Channel(ssl.SSLSocket):
    """Remembers why TLS failed: pynetdicom tells only that the connection is gone."""

    failure: ssl.SSLError | None = None

    def connect(self, address: Any) -> None:  # noqa: ANN401 - what the base class takes
        """Connect and shake hands. Raises OSError."""
        try:
            super().connect(address)
        except ssl.SSLError as error:
            self.failure = error
            raise

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Return what came. Since TLS 1.3 a refusal of our certificate comes only now."""
        try:
            return super().recv(buflen, flags)
        except ssl.SSLError as error:
            self.failure = error
            raise


def context_for(tls: NodeTls) -> ssl.SSLContext:
    """Return what makes channels, from the files as they are now. Raises ConfigError."""
    context = client_context(tls.files)
    context.sslsocket_class = Channel
    return context


def explain(failure: ssl.SSLError) -> str:
    """Return what is wrong and what to look at."""
    if isinstance(failure, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not accepted ({failure.verify_message.rstrip('.')}): compare it "
            "with tls.ca and tls.name"
        )
    reason = failure.reason or ""
    said = reason.replace("_", " ").lower() or "the connection ended"
    if "ALERT" in reason:
        return (
            f"it refuses TLS with us ({said}): does it trust tls.certificate, and does it speak "
            "TLS 1.2 or 1.3?"
        )
    return f"TLS fails ({said}): does it speak TLS on this port?"
