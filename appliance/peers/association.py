"""An association to a node, as a context; and in plain words why there is none."""

import logging
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydicom.uid import UID
from pynetdicom.ae import ApplicationEntity
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import T_CONNECT, AddressInformation, AssociationSocket

from appliance.core.errors import ConfigError, PeerError, PeerRefused
from appliance.core.product import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from appliance.peers import tls
from appliance.peers.node import DicomNode

if TYPE_CHECKING:
    from pynetdicom.association import Association

_MAX_PDU_LENGTH = 131_072
_LONGEST_PDU = 1_048_576  # an A-ASSOCIATE-AC has no other bound

# PS3.8 table 9-21: (result source, reason) → what to check.
_REASONS = {
    (1, 2): "it does not speak DICOM's application context",
    (1, 3): "it does not know our AE title {ours}: enter it there, with our address",
    (1, 7): "its AE title is not {theirs}: compare ae_title with its configuration",
    (2, 2): "it does not support this protocol version",
    (3, 1): "it is congested",
    (3, 2): "it has too many associations",
}


class _Socket(AssociationSocket):
    """A connection that neither delays small answers nor waits for ever."""

    # Of the base class, which is not typed.
    socket: Any
    tls_args: Any

    def connect(self, primitive: T_CONNECT) -> None:
        if self.tls_args:  # here, not in the base class: it forgets a channel that fails
            context, name = self.tls_args
            self.socket = context.wrap_socket(self.socket, server_hostname=name)
            self.tls_args = None
        connection: socket.socket = self.socket
        self.channel = connection if isinstance(connection, tls.Channel) else None
        super().connect(primitive)
        if self.socket is None:
            return
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # The library reads without one: a peer that stalls inside a PDU would hold us for ever.
        connection.settimeout(self.assoc.network_timeout)

    def recv(self, nr_bytes: int) -> bytearray:
        """Return that many bytes, or fewer where the peer closed. Raises OSError."""
        if nr_bytes > _LONGEST_PDU:
            raise OSError("the PDU is longer than anything we agreed to")
        received: bytearray = super().recv(nr_bytes)
        return received

    def _shutdown_socket(self) -> None:
        super()._shutdown_socket()
        if self.socket is not None:
            self.socket.close()  # left open where the peer was first


class _Entity(ApplicationEntity):
    """Makes one association over such a connection."""

    connection: _Socket | None = None

    def _create_socket(
        self, assoc: "Association", address: AddressInformation, tls_args: object
    ) -> _Socket:
        self.connection = made = _Socket(assoc, address=address)
        made.tls_args = tls_args
        return made

    @property
    def tls_failure(self) -> ssl.SSLError | None:
        """Why TLS failed, if it did."""
        channel = self.connection.channel if self.connection is not None else None
        return channel.failure if channel is not None else None


@contextmanager
def associated(
    node: DicomNode,
    contexts: Sequence[PresentationContext],
    roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (),
) -> "Iterator[Association]":
    """Yield an association; it is released at the end, or aborted if the block raises.

    `roles` are proposed for classes of which we are not the user. Raises PeerRefused where the
    node says no for good, else PeerError.
    """
    association = _associate(node, contexts, roles)
    is_done = False
    try:
        yield association
        is_done = True
    finally:
        if is_done and association.is_established:
            association.release()
        elif not is_done:
            association.abort()


def _associate(
    node: DicomNode,
    contexts: Sequence[PresentationContext],
    roles: Sequence[SCP_SCU_RoleSelectionNegotiation],
) -> "Association":
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # it quotes identifiers
    seconds = node.timeout.total_seconds()
    entity = _Entity(node.calling_ae_title)
    entity.connection_timeout = entity.acse_timeout = seconds
    entity.dimse_timeout = entity.network_timeout = seconds
    entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    try:
        association = entity.associate(
            node.host,
            node.port,
            contexts=list(contexts),
            ae_title=node.ae_title,
            max_pdu=_MAX_PDU_LENGTH,
            ext_neg=list(roles),
            tls_args=_tls_args(node),
        )
    except OSError as error:
        raise PeerError(f"{node}: the host name cannot be resolved ({error})") from error
    if not association.is_established:
        if entity.tls_failure is not None:
            raise PeerError(f"{node}: {tls.explain(entity.tls_failure)}")
        raise _no_association(node, association)
    return association


def _tls_args(node: DicomNode) -> tuple[ssl.SSLContext, str] | None:
    if node.tls is None:
        return None
    try:
        return tls.context_for(node.tls), node.tls.name or node.host
    except ConfigError as error:  # the files changed since `check`; they may be mended
        raise PeerError(f"{node}: {error}") from error


def _no_association(node: DicomNode, association: "Association") -> PeerError:
    if association.rejected_contexts:  # all: the library has ended the association then
        classes = {UID(cx.abstract_syntax).name for cx in association.rejected_contexts}
        return PeerRefused(f"{node} does not offer {', '.join(sorted(classes))}")
    if not association.is_rejected:
        return PeerError(
            f"{node} does not answer: is it running, are host and port right, "
            "does a firewall stand between?"
        )
    answer = association.acceptor.primitive
    reason = _REASONS.get((answer.result_source, answer.diagnostic), "it gives no reason")
    text = reason.format(ours=node.calling_ae_title, theirs=node.ae_title)
    kind = PeerRefused if answer.result == 1 else PeerError
    return kind(f"{node} rejects the association: {text}")
