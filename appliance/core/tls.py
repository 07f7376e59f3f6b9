"""TLS as DICOM wants it: one profile for every connection, in and out, and its files.

The BCP 195 TLS Secure Transport Connection Profile (PS3.15 annex B.12; RFC 8996, RFC 9325):
TLS 1.2 at least and 1.3 before it, forward secrecy and authenticated encryption only, no
renegotiation, no compression, nothing resumed (who may no longer come does not come back on an
old ticket).
"""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from appliance.core.errors import ConfigError

PORT = 2762  # registered as dicom-tls

VERSIONS = ("TLS 1.3", "TLS 1.2")
SUITES_1_3 = ("TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256")
# RFC 9325 section 4.2, as OpenSSL calls them.
SUITES_1_2 = (
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
)
_STRENGTH = "@SECLEVEL=2"  # 112 bits: RSA of 2048 bits at least, no SHA-1 in certificates
_PEM_END = "-----END CERTIFICATE-----"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """PEM files. `trusted` has authorities, or the other side's own certificate.

    A certificate has a key; one of both alone is a mistake. Without `trusted` a server asks for
    no client certificate; a client always has it.
    """

    certificate: Path | None = None
    key: Path | None = None
    trusted: Path | None = None

    def paths(self) -> tuple[Path, ...]:
        """Return the files that are named."""
        return tuple(path for path in (self.certificate, self.key, self.trusted) if path)


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """Return what wraps accepted connections. Raises ConfigError that names the file."""
    context = _profile(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 0
    _load(context, files)
    context.verify_mode = ssl.CERT_REQUIRED if files.trusted else ssl.CERT_NONE
    return context


def client_context(files: TlsFiles) -> ssl.SSLContext:
    """Return what wraps outgoing connections: the peer proves who it is, by name.

    Raises ConfigError that names the file.
    """
    context = _profile(ssl.PROTOCOL_TLS_CLIENT)
    _load(context, files)
    return context


def _profile(protocol: "ssl._SSLMethod") -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(":".join((*SUITES_1_2, _STRENGTH)))
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_NO_TICKET
    # Devices come with certificates of their own: one may be trusted as it is.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _load(context: ssl.SSLContext, files: TlsFiles) -> None:
    if files.certificate is not None:
        key = files.key or files.certificate
        try:
            context.load_cert_chain(files.certificate, key, password="")  # asks nobody
        except OSError as error:  # of which SSLError is one
            raise ConfigError(
                f"{files.certificate} and {key} cannot be used together: {_why(error)}; name a "
                "PEM certificate and its own key, without a password, which the appliance's "
                "user may read"
            ) from None
    if files.trusted is not None:
        try:
            context.load_verify_locations(files.trusted)
        except OSError as error:
            raise ConfigError(
                f"{files.trusted} holds no certificate to trust: {_why(error)}; name a PEM file "
                "with the authority's certificate, or the other side's own, which the "
                "appliance's user may read"
            ) from None


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "no PEM").replace("_", " ").lower()
    return error.strerror or type(error).__name__


# -- until when ---------------------------------------------------------------------------


def expires(files: TlsFiles) -> datetime | None:
    """Return when the first of what is needed ends: our certificate, or the last one trusted.

    None where no file is named. Raises ConfigError for a file without a certificate.
    """
    ends = []
    if files.certificate is not None:
        ends.append(next(_ends(files.certificate)))  # the first is ours, the others its chain
    if files.trusted is not None:
        ends.append(max(_ends(files.trusted)))
    return min(ends, default=None)


def _ends(path: Path) -> Iterator[datetime]:
    """Yield each certificate's end; at least one."""
    try:
        blocks = path.read_text("ascii", "replace").split(_PEM_END)[:-1]
        found = [_not_after(ssl.PEM_cert_to_DER_cert(_pem(block))) for block in blocks]
    except (OSError, ValueError, IndexError) as error:
        raise ConfigError(f"{path} is no PEM file with certificates: {error}") from None
    if not found:
        raise ConfigError(f"{path} is no PEM file with certificates")
    yield from found


def _pem(block: str) -> str:
    return block[block.index("-----BEGIN CERTIFICATE-----") :] + _PEM_END


def _not_after(der: bytes) -> datetime:
    """Return the end of a certificate's validity. Raises ValueError, IndexError. RFC 5280 4.1."""
    body = _inside(_inside(der)[0])[0]  # of the certificate, its first part
    fields = [content for tag, content in _parts(body) if tag != 0xA0]  # [0] is the version
    _serial_number, _signature, _issuer, validity = fields[:4]
    tag, content = list(_parts(validity))[1]
    text = content.decode("ascii")
    if tag == 0x17:  # UTCTime, with two digits of the year
        text = ("20" if int(text[:2]) < 50 else "19") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _inside(der: bytes) -> list[bytes]:
    return [content for _, content in _parts(der)]


def _parts(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of each element. Raises IndexError. X.690 section 8.1."""
    position = 0
    while position < len(der):
        tag, length, start = der[position], der[position + 1], position + 2
        if length & 0x80:
            start += length & 0x7F
            length = int.from_bytes(der[position + 2 : start], "big")
        position = start + length
        yield tag, der[start:position]
