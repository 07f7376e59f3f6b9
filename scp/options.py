"""What a site may say of the receiver."""

from dataclasses import dataclass
from datetime import timedelta

from appliance.core.tls import TlsFiles
from scp.durability import Durability


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedPeer:
    """A node that may send: its AE title, and the networks (CIDR) that it may call from.

    `certificate` is a name that its TLS certificate must have; then it cannot come without TLS.
    """

    ae_title: str
    networks: tuple[str, ...]
    accept_private_storage: bool = True
    certificate: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsOptions:
    """A port with TLS."""

    host: str
    port: int
    files: TlsFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverOptions:
    """Identity, limits and timeouts of one receiver process. Sizes in bytes.

    `host` and `port` are the port without TLS, which is open where `plain` says so.
    """

    ae_title: str
    host: str
    port: int
    peers: tuple[AllowedPeer, ...]
    max_associations: int = 32
    max_associations_per_peer: int = 16
    max_pdu_length: int = 131_072
    max_message_bytes: int = 4 * 1024**3
    refuse_below_bytes: int = 5 * 10**9
    warn_below_bytes: int = 50 * 10**9
    network_timeout: timedelta = timedelta(seconds=60)
    accept_unknown_peers: bool = False
    durability: Durability = Durability.INSTANCE
    tls: TlsOptions | None = None
    plain: bool = True
