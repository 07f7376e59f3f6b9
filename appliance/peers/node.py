"""A peer, and an association with it."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from appliance.core.errors import PeerError, PeerRefused
from appliance.core.product import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

_REJECTED_FOR_GOOD = 0x01  # PS3.8 section 9.3.4: result 1 is permanent, 2 transient


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomNode:
    """Where a peer is, under which title we call it, and how long we wait for an answer."""

    name: str
    ae_title: str
    host: str
    port: int
    calling_ae_title: str
    timeout: timedelta

    def __str__(self) -> str:
        return f"{self.name} ({self.ae_title} at {self.host}:{self.port})"


@contextmanager
def association(node: DicomNode, contexts: list[PresentationContext]) -> Iterator[Association]:
    """Yield an association with `contexts`, released at the end.

    Raises PeerError where the peer cannot be reached or is busy, PeerRefused where it rejects us
    for good.
    """
    ae = _entity(node)
    ae.requested_contexts = contexts
    assoc = ae.associate(
        node.host,
        node.port,
        ae_title=node.ae_title,
        evt_handlers=[(evt.EVT_CONN_OPEN, _without_delay)],
    )
    if not assoc.is_established:
        raise _why_not(node, assoc)
    try:
        yield assoc
    finally:
        if assoc.is_established:
            assoc.release()


def _entity(node: DicomNode) -> AE:
    ae = AE(ae_title=node.calling_ae_title)
    seconds = node.timeout.total_seconds()
    ae.connection_timeout = ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = seconds
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    return ae


def _without_delay(event: evt.Event) -> None:
    """Switch off Nagle's algorithm: with it, each small message waits for a delayed ACK."""
    connection = event.assoc.dul.socket.socket
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _why_not(node: DicomNode, assoc: Association) -> PeerError:
    if assoc.is_rejected:
        answer = assoc.acceptor.primitive
        reason = f"{node} rejects our association: {answer.reason_str}"
        advice = f"; let it know the AE title {node.calling_ae_title} and this machine's address"
        if answer.result == _REJECTED_FOR_GOOD:
            return PeerRefused(reason + advice)
        return PeerError(reason)
    if assoc.is_aborted and assoc.acceptor.primitive is not None:
        return PeerError(f"{node} accepts none of what we propose, or broke off")
    return PeerError(f"{node} cannot be reached; check host, port, firewall, and that it runs")
