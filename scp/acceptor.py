"""The upper layer: pynetdicom 3.0.4 driven so that it streams, and stays within bounds.

pynetdicom negotiates, keeps the state machine and encodes. Replaced here are the parts that
trust the peer or hold whole data sets in memory: reading a PDU (a length of 4 GiB is believed
there), joining fragments (endless there), reading command sets, and the service classes (private
SOP classes and requests without UIDs get no answer there). Subclasses do it for the associations
of one receiver; no setting of the library is touched.
"""

import queue
import threading
import time
from dataclasses import dataclass
from socket import IPPROTO_TCP, TCP_NODELAY
from socket import socket as Socket  # noqa: N812 — its own name is an attribute of the server
from socketserver import BaseServer

from pynetdicom import evt
from pynetdicom.acse import ACSE
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_primitives import C_ECHO, C_STORE
from pynetdicom.dul import DULServiceProvider
from pynetdicom.fsm import InvalidEventError
from pynetdicom.pdu_primitives import A_ASSOCIATE, P_DATA
from pynetdicom.transport import AssociationServer, AssociationSocket, RequestHandler

from appliance.core.uids import is_valid_uid
from scp.association import REJECTIONS, Caller, Lobby, log_rejection
from scp.command import C_CANCEL_RQ, C_ECHO_RQ, C_STORE_RQ, Command, ProtocolViolation, parse
from scp.contexts import VERIFICATION, supported
from scp.status import STATUSES, Outcome
from scp.store import Reception, Upload

_COMMAND_BYTES = 65_536
_WAITING_REQUESTS = 8  # a peer may not send ahead of our answers without bound
_LOOK_AGAIN = 0.05  # seconds
_PDU_CEILING = 1_048_576  # A-ASSOCIATE-RQ with 128 contexts of 40 syntaxes has 150 kB


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What every association of a receiver shares."""

    lobby: Lobby
    reception: Reception
    max_pdu_length: int
    timeout: float  # seconds


class StorageAssociation(Association):
    """One accepted connection."""

    def __init__(self, ae: ApplicationEntity, server: "StorageServer", connection: Socket) -> None:
        super().__init__(ae, "acceptor")
        self.connection = connection
        self.house = server.house
        self.caller: Caller | None = None  # set while the caller is admitted
        self.acse = GuardedAcse(self)
        self.dul = EnduringDul(self)
        self.acse_timeout = ae.acse_timeout  # again: these set the timers of the DUL provider
        self.network_timeout = ae.network_timeout
        self.dimse: StreamingDimse = StreamingDimse(self)
        self._server = server
        for event in (evt.EVT_DIMSE_RECV, evt.EVT_DIMSE_SENT, evt.EVT_PDU_RECV, evt.EVT_PDU_SENT):
            for handler, _ in list(self.get_handlers(event)):
                self.unbind(event, handler)  # they format messages for a debug log

    def run_reactor(self) -> None:
        """Serve until the association ends, then leave nothing behind."""
        try:
            super().run_reactor()
        finally:
            self.dimse.close()
            self.connection.close()  # the library does not, where the peer was first
            if self.caller is not None:
                self.house.lobby.leave(self.caller)
            self._server.forget(self)

    def _serve_request(self, msg: "Upload | C_ECHO", context_id: int) -> None:
        if isinstance(msg, Upload):
            outcome = self.house.reception.finish(self.dimse.caller, msg)
            self.dimse.send_msg(_store_response(msg.command, outcome), context_id)
            self.dimse.answered()
        else:
            answer = C_ECHO()
            answer.MessageIDBeingRespondedTo = msg.MessageID
            answer.AffectedSOPClassUID = msg.AffectedSOPClassUID
            answer.Status = 0x0000
            self.dimse.send_msg(answer, context_id)


def _store_response(command: Command, outcome: Outcome) -> C_STORE:
    status = STATUSES[outcome]
    answer = C_STORE()
    answer.MessageIDBeingRespondedTo = command.message_id
    if is_valid_uid(command.sop_class_uid):
        answer.AffectedSOPClassUID = command.sop_class_uid
    if is_valid_uid(command.sop_instance_uid):
        answer.AffectedSOPInstanceUID = command.sop_instance_uid
    answer.Status = status.code
    if status.comment:
        answer.ErrorComment = status.comment
    return answer


class GuardedAcse(ACSE):
    """Admits or rejects before anything is negotiated. PS3.8 section 9.3.4."""

    def negotiate_association(self) -> None:
        """Answer the A-ASSOCIATE-RQ."""
        request = self.requestor.primitive
        if not isinstance(request, A_ASSOCIATE):
            self.assoc.kill()  # the peer gave up before it asked
            return
        caller = Caller(
            calling_ae_title=str(request.calling_ae_title or "").strip(),
            called_ae_title=str(request.called_ae_title or "").strip(),
            address=self.requestor.address,
        )
        admission = self.assoc.house.lobby.enter(caller)
        if admission.refusal is not None:
            log_rejection(caller, admission.refusal)
            rejection = REJECTIONS[admission.refusal]
            self.send_reject(rejection.result, rejection.source, rejection.reason)
            self.assoc.kill()
            return
        self.assoc.caller = caller
        self.acceptor.supported_contexts = supported(
            [str(cx.abstract_syntax) for cx in request.presentation_context_definition_list],
            private=admission.accept_private_storage,
        )
        super().negotiate_association()


class StreamingDimse(DIMSEServiceProvider):
    """Hands fragments on as they come; nothing of a data set is held in memory."""

    def __init__(self, assoc: StorageAssociation) -> None:
        super().__init__(assoc)
        self._command = bytearray()
        self._upload: Upload | None = None
        self._waiting = threading.Semaphore(_WAITING_REQUESTS)
        self._syntaxes: dict[int, str] = {}

    @property
    def caller(self) -> Caller:
        """Who is at the other end."""
        caller: Caller | None = self.assoc.caller
        if caller is None:
            raise ProtocolViolation("data before the association was accepted")
        return caller

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take one P-DATA-TF. A violation of the protocol aborts the association."""
        try:
            for context_id, fragment in primitive.presentation_data_value_list:
                self._take(context_id, fragment)
        except ProtocolViolation:
            self.close()
            self.dul.event_queue.put("Evt19")  # invalid PDU: A-ABORT (PS3.8 table 9-10)

    def _take(self, context_id: int, fragment: bytes) -> None:
        if not fragment:
            raise ProtocolViolation("a fragment without its control header")
        is_command, is_last = fragment[0] & 1, fragment[0] & 2  # PS3.8 annex E.2
        if is_command:
            self._take_command(context_id, fragment, is_last=bool(is_last))
        elif self._upload is None or self._upload.context_id != context_id:
            raise ProtocolViolation("a data set fragment that no command announced")
        else:
            self._upload.write(memoryview(fragment)[1:])
            if is_last:
                self._enqueue(self._upload, context_id)

    def _take_command(self, context_id: int, fragment: bytes, *, is_last: bool) -> None:
        if self._upload is not None or len(self._command) + len(fragment) > _COMMAND_BYTES:
            raise ProtocolViolation("a command inside a data set, or an endless one")
        self._command += memoryview(fragment)[1:]
        if not is_last:
            return
        command = parse(bytes(self._command))
        self._command.clear()
        if command.field == C_STORE_RQ:
            self._begin(command, context_id)
        elif command.field == C_ECHO_RQ and not command.has_data_set:
            echo = C_ECHO()
            echo.MessageID = command.message_id
            echo.AffectedSOPClassUID = VERIFICATION
            self.msg_queue.put((context_id, echo))
        elif command.field != C_CANCEL_RQ:
            raise ProtocolViolation(f"operation {command.field:04X} is not offered")

    def _begin(self, command: Command, context_id: int) -> None:
        if not self._syntaxes:
            self._syntaxes = {
                cx.context_id: str(cx.transfer_syntax[0]) for cx in self.assoc.accepted_contexts
            }
        syntax = self._syntaxes.get(context_id)
        if syntax is None or not self._waiting.acquire(blocking=False):
            raise ProtocolViolation("a context that was not accepted, or no wait for answers")
        upload = self.assoc.house.reception.begin(self.caller, command, context_id, syntax)
        if command.has_data_set:
            self._upload = upload
        else:
            self._enqueue(upload, context_id)

    def _enqueue(self, upload: Upload, context_id: int) -> None:
        self._upload = None
        self.msg_queue.put((context_id, upload))

    def answered(self) -> None:
        """One request less is waiting."""
        self._waiting.release()

    def close(self) -> None:
        """Drop what did not come to its end, and what nobody will answer any more."""
        abandoned = [self._upload] if self._upload is not None else []
        self._upload = None
        while True:
            try:
                _, waiting = self.msg_queue.get_nowait()
            except queue.Empty:
                break
            if isinstance(waiting, Upload):
                abandoned.append(waiting)
        for upload in abandoned:
            self.assoc.house.reception.abandon(self.caller, upload)


class EnduringDul(DULServiceProvider):
    """Ends quietly where the state machine has no word for what the peer does."""

    def run_reactor(self) -> None:
        """Move PDUs until the connection ends."""
        try:
            super().run_reactor()
        except (InvalidEventError, OSError, queue.Empty, AttributeError, TypeError, ValueError):
            if self.socket is not None:
                self.socket.close()

    def receive_pdu(self, wait: bool = False, timeout: float | None = None) -> object:  # noqa: FBT001, FBT002
        """Return the next primitive; None at the timeout, or soon after the connection ended.

        The base class goes on waiting for an A-ASSOCIATE-RQ on a connection that is gone.
        """
        deadline = time.monotonic() + (timeout or 0.0)
        was_idle = False
        while True:
            primitive = super().receive_pdu(wait=wait, timeout=_LOOK_AGAIN)
            is_idle = not self.is_alive() or (
                self.state_machine.current_state == "Sta1" and self.event_queue.empty()
            )
            if not wait or primitive is not None or time.monotonic() > deadline:
                return primitive
            if was_idle and is_idle:  # twice: the first event is between queue and state once
                return None
            was_idle = is_idle


class AcceptedSocket(AssociationSocket):
    """Reads within bounds: of length, and of the time that one PDU may take."""

    def __init__(self, assoc: StorageAssociation) -> None:
        assoc.connection.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        assoc.connection.settimeout(assoc.house.timeout)
        self._timeout = assoc.house.timeout
        self._ceiling = max(assoc.house.max_pdu_length, _PDU_CEILING) + 6
        super().__init__(assoc, client_socket=assoc.connection)

    def recv(self, nr_bytes: int) -> bytearray:
        """Return that many bytes, or fewer where the peer closed. Raises OSError."""
        if nr_bytes > self._ceiling or self.socket is None:
            raise OSError("the PDU is longer than anything we agreed to")
        data = bytearray(nr_bytes)
        view, received = memoryview(data), 0
        deadline = time.monotonic() + self._timeout
        while received < nr_bytes:
            count = self.socket.recv_into(view[received:])
            if count == 0 or time.monotonic() > deadline:
                return data[:received]
            received += count
        return data


class StorageHandler(RequestHandler):
    """Makes a StorageAssociation of an accepted connection."""

    server: "StorageServer"

    def _create_association(self) -> StorageAssociation:
        association = StorageAssociation(self.ae, self.server, self.request)
        association.set_socket(AcceptedSocket(association))
        association.acceptor.maximum_length = self.ae.maximum_pdu_size
        association.acceptor.ae_title = self.server.ae_title
        association.acceptor.address_info = self.local
        association.acceptor.implementation_class_uid = self.ae.implementation_class_uid
        association.acceptor.implementation_version_name = self.ae.implementation_version_name
        association.requestor.address_info = self.remote
        self.server.remember(association)
        return association


class StorageServer(AssociationServer):
    """Accepts connections from a listening socket that other processes may share."""

    socket: Socket  # of the base class

    def __init__(self, ae: ApplicationEntity, listener: Socket, house: House) -> None:
        self.house = house
        self._listener = listener
        self._guard = threading.Lock()
        self._associations: set[StorageAssociation] = set()
        self._most_connections = house.lobby.max_associations + 16
        # A stranger who opens connections and says nothing must not take them all.
        self._most_of_one = house.lobby.max_associations_per_peer + 8
        super().__init__(
            ae, listener.getsockname(), ae.ae_title, [], request_handler=StorageHandler
        )

    def server_bind(self) -> None:
        """Take the socket that listens already."""
        self.socket.close()  # the one that socketserver made
        self._listener.settimeout(0)  # another process may be quicker to accept
        self.socket = self._listener
        self.server_address = self._listener.getsockname()

    def server_activate(self) -> None:
        """It listens already."""

    def server_close(self) -> None:
        """Close our descriptor only: a shutdown would end the listening of other processes."""
        self.socket.close()

    def stop_accepting(self) -> None:
        """End serve_forever and close the listening socket; associations go on."""
        BaseServer.shutdown(self)  # AssociationServer's own wants to be known to its AE
        self.server_close()

    def service_actions(self) -> None:
        """Nothing: connections are closed explicitly, not by the garbage collector."""

    def verify_request(self, request: object, client_address: object) -> bool:  # noqa: ARG002
        """Close connections at once that are beyond what could ever associate."""
        address = client_address[0] if isinstance(client_address, tuple) else ""
        with self._guard:
            of_one = sum(one.requestor.address == address for one in self._associations)
            return len(self._associations) < self._most_connections and of_one < self._most_of_one

    def remember(self, association: StorageAssociation) -> None:
        """Count a connection."""
        with self._guard:
            self._associations.add(association)

    def forget(self, association: StorageAssociation) -> None:
        """Count one less."""
        with self._guard:
            self._associations.discard(association)

    def associations(self) -> tuple[StorageAssociation, ...]:
        """Return the connections that are open."""
        with self._guard:
            return tuple(self._associations)
