"""Who may associate: the rules, the rejections as a table, and the count of who is in.

PS3.8 section 9.3.4: result, source, reason.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from scp.options import AllowedPeer, ReceiverOptions
from scp.seats import Seats


class Refusal(StrEnum):
    """Why an association is rejected."""

    CALLED_AE_TITLE = "called AE title is not ours"
    CALLING_AE_TITLE = "calling AE title is not known"
    ADDRESS = "calling AE title is not allowed from this address"
    CERTIFICATE = "no certificate of this calling AE title was shown"
    PEER_LIMIT = "too many associations from this address"
    LIMIT = "too many associations"
    STOPPING = "the receiver is stopping"
    PROTOCOL_VERSION = "the protocol's version is not 1"
    APPLICATION_CONTEXT = "the application context is not DICOM's"


@dataclass(frozen=True, slots=True)
class Rejection:
    """The three numbers of an A-ASSOCIATE-RJ, and what they mean."""

    result: int
    source: int
    reason: int
    meaning: str


REJECTIONS: Mapping[Refusal, Rejection] = {
    Refusal.CALLED_AE_TITLE: Rejection(
        1, 1, 7, "rejected-permanent, service-user, called-AE-title-not-recognized"
    ),
    Refusal.CALLING_AE_TITLE: Rejection(
        1, 1, 3, "rejected-permanent, service-user, calling-AE-title-not-recognized"
    ),
    Refusal.ADDRESS: Rejection(1, 1, 1, "rejected-permanent, service-user, no-reason-given"),
    Refusal.CERTIFICATE: Rejection(1, 1, 1, "rejected-permanent, service-user, no-reason-given"),
    Refusal.PEER_LIMIT: Rejection(
        2, 3, 2, "rejected-transient, service-provider (presentation), local-limit-exceeded"
    ),
    Refusal.LIMIT: Rejection(
        2, 3, 2, "rejected-transient, service-provider (presentation), local-limit-exceeded"
    ),
    Refusal.STOPPING: Rejection(
        2, 3, 1, "rejected-transient, service-provider (presentation), temporary-congestion"
    ),
    Refusal.PROTOCOL_VERSION: Rejection(
        1, 2, 2, "rejected-permanent, service-provider (ACSE), protocol-version-not-supported"
    ),
    Refusal.APPLICATION_CONTEXT: Rejection(
        1, 1, 2, "rejected-permanent, service-user, application-context-name-not-supported"
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls, as the A-ASSOCIATE-RQ, the socket and a certificate that we believe say."""

    calling_ae_title: str
    called_ae_title: str
    address: str
    certificate_names: frozenset[str] = frozenset()  # in small letters


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """The answer to a caller: a refusal, or what it may send."""

    refusal: Refusal | None = None
    accept_private_storage: bool = True
    seat: int = -1  # where there is no refusal


class Lobby:
    """Admits callers and counts them, over all processes; safe in several threads."""

    def __init__(self, options: ReceiverOptions, seats: Seats) -> None:
        self._options = options
        self._seats = seats
        self._closed = False

    def enter(self, caller: Caller) -> Admission:
        """Admit the caller and count it until `leave`, or say why not."""
        allowed = self._identify(caller)
        if isinstance(allowed, Refusal):
            return Admission(refusal=allowed)
        if self._closed:
            return Admission(refusal=Refusal.STOPPING)
        try:
            seat = self._seats.take(caller.address, self._options.max_associations_per_peer)
        except OverflowError:
            return Admission(refusal=Refusal.PEER_LIMIT)
        if seat is None:
            return Admission(refusal=Refusal.LIMIT)
        return Admission(accept_private_storage=allowed.accept_private_storage, seat=seat)

    def leave(self, seat: int) -> None:
        """Count one less."""
        self._seats.leave(seat)

    def close(self) -> None:
        """Admit nobody any more."""
        self._closed = True

    def _identify(self, caller: Caller) -> AllowedPeer | Refusal:
        if caller.called_ae_title != self._options.ae_title:
            return Refusal.CALLED_AE_TITLE
        known = [p for p in self._options.peers if p.ae_title == caller.calling_ae_title]
        near = [peer for peer in known if is_within(caller.address, peer.networks)]
        for peer in near:
            if peer.certificate is None or peer.certificate.lower() in caller.certificate_names:
                return peer
        is_bound = any(peer.certificate is not None for peer in known)
        if self._options.accept_unknown_peers and not is_bound:
            return AllowedPeer(ae_title=caller.calling_ae_title, networks=())
        if near:
            return Refusal.CERTIFICATE
        return Refusal.ADDRESS if known else Refusal.CALLING_AE_TITLE


def is_within(address: str, networks: tuple[str, ...]) -> bool:
    """Return whether the address lies in one of the networks; IPv4 mapped into IPv6 counts."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return any(ip in ipaddress.ip_network(network, strict=False) for network in networks)
