"""One association, from the first byte of its connection to the last. PS3.8 section 9.2.

A thread of its own reads what comes, in blocking reads: nothing polls, and no bytes of a data set
are touched but by the kernel, which puts them where they stay. Operations are answered in their
order, before the next is read, so a peer that sends ahead is held back by TCP.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from appliance.core.clock import Clock
from appliance.core.log import Event
from appliance.core.uids import is_valid_uid
from scp import negotiation, pdu
from scp.association import REJECTIONS, Caller, Lobby, Refusal
from scp.command import (
    C_CANCEL_RQ,
    C_ECHO_RQ,
    C_STORE_RQ,
    RESPONSE,
    Command,
    ProtocolViolation,
    encode_response,
    parse,
)
from scp.contexts import supported
from scp.pace import Pace
from scp.pdu import IS_COMMAND, IS_LAST, AbortReason, PduType
from scp.refusals import RefusalLog
from scp.services import LONGEST_DATA_SET, Message, Reply, Service
from scp.status import STATUSES, Outcome
from scp.store import Reception, Upload
from scp.stream import ConnectionEnded, Stream
from scp.tally import ABORTED, ACCEPTED, REFUSED_MESSAGES, UNNAMED, Tally

_LONGEST_COMMAND = 65_536
_LONGEST_REQUEST = 1_048_576  # A-ASSOCIATE-RQ with 128 contexts of 40 syntaxes has 150 kB
_LONGEST_PDU = 1_048_576  # taken from peers that send longer ones than we announced
_TO_ASSOCIATE = 30.0  # seconds, at most: the ARTIM timer
_TO_CLOSE = 2.0  # seconds for the peer to close after the last PDU
_SUCCESS = 0x0000
_UNRECOGNIZED_OPERATION = 0x0211  # PS3.7 annex C.5
_HEADERS = pdu.PDU_HEADER.size + pdu.PDV_HEADER.size


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What every association of a receiver shares. `timeout` in seconds."""

    lobby: Lobby
    reception: Reception
    services: Mapping[str, Service]
    tally: Tally
    refusals: RefusalLog
    clock: Clock
    max_pdu_length: int
    timeout: float


class Request:
    """The data set of a request to a service, held in memory."""

    def __init__(self, command: Command, transfer_syntax_uid: str) -> None:
        self.command = command
        self.transfer_syntax_uid = transfer_syntax_uid
        self.data_set = bytearray()

    def space(self, size: int) -> memoryview:
        """Return where the next bytes go. Raises ProtocolViolation beyond the bound."""
        start = len(self.data_set)
        if start + size > LONGEST_DATA_SET:
            raise ProtocolViolation(f"a data set of more than {LONGEST_DATA_SET} bytes")
        self.data_set.extend(bytes(size))
        return memoryview(self.data_set)[start:]

    def took(self, size: int) -> None:
        """Nothing is to be done: all of the space was asked for."""


class Session:
    """Serves one connection; `run` returns when it is over."""

    def __init__(self, house: House, stream: Stream, address: str) -> None:
        self._house = house
        self._stream = stream
        self._address = address
        self._header = memoryview(bytearray(_HEADERS))
        self._command = bytearray()
        self._pending: Upload | Request | None = None
        self._contexts: Mapping[int, str] = {}
        self._context_id = 0  # of the request that is being received or answered
        self._longest_answer = 0
        self._caller: Caller | None = None
        self._seat: int | None = None
        self._pace = Pace(house.clock, house.timeout)

    def run(self) -> None:
        """Serve until the association ends, then leave nothing behind."""
        try:
            self._associate()
            while self._caller is not None and self._serve(self._caller):
                pass
        except ProtocolViolation as violation:
            self._tell(violation)
            self._abort(violation.reason)
        except ConnectionEnded:
            pass
        finally:
            if self._caller is not None and isinstance(self._pending, Upload):
                self._house.reception.abandon(self._caller, self._pending)
            if self._seat is not None:
                self._house.lobby.leave(self._seat)

    # -- association ----------------------------------------------------------------------

    def _associate(self) -> None:
        """Accept the caller, or answer a rejection and leave `_caller` None."""
        self._stream.set_timeout(min(self._house.timeout, _TO_ASSOCIATE))
        kind, length, came = self._read_header()
        if kind != PduType.ASSOCIATE_RQ:
            raise ProtocolViolation("no A-ASSOCIATE-RQ came first", AbortReason.UNEXPECTED_PDU)
        request = negotiation.decode(self._read_whole(length, came))
        caller = Caller(
            calling_ae_title=request.calling_ae_title,
            called_ae_title=request.called_ae_title,
            address=self._address,
            certificate_names=self._stream.certificate_names(),
        )
        refusal = _unsupported(request)
        if refusal is None:
            admission = self._house.lobby.enter(caller)
            refusal = admission.refusal
        if refusal is not None:
            self._reject(caller, refusal)
            return
        self._caller, self._seat = caller, admission.seat
        contexts = supported(
            request.abstract_syntaxes,
            private=admission.accept_private_storage,
            services=self._house.services,
        )
        agreement = negotiation.agree(request, contexts, self._house.max_pdu_length)
        self._contexts = agreement.transfer_syntaxes
        self._longest_answer = request.longest_pdu
        self._stream.set_timeout(self._house.timeout)
        self._stream.send(agreement.pdu)
        self._house.tally.count(caller.calling_ae_title, caller.address, ACCEPTED)

    def _reject(self, caller: Caller, refusal: Refusal) -> None:
        self._house.tally.count(caller.calling_ae_title, caller.address, refusal.value)
        self._house.refusals.tell(
            Event.ASSOCIATION_REJECTED,
            refusal.value,
            calling_ae_title=caller.calling_ae_title,
            peer_address=caller.address,
            called_ae_title=caller.called_ae_title,
        )
        rejection = REJECTIONS[refusal]
        self._stream.send(pdu.rejection(rejection.result, rejection.source, rejection.reason))
        self._stream.wait_for_end(_TO_CLOSE)

    def _tell(self, violation: ProtocolViolation) -> None:
        """Count and log why the association is aborted; its words are ours."""
        title = self._caller.calling_ae_title if self._caller is not None else ""
        self._house.tally.count(title or UNNAMED, self._address, ABORTED)
        self._house.refusals.tell(
            Event.ASSOCIATION_ABORTED,
            str(violation),
            calling_ae_title=title,
            peer_address=self._address,
        )

    def _abort(self, reason: AbortReason) -> None:
        try:
            self._stream.set_timeout(_TO_CLOSE)
            self._stream.send(pdu.abort(reason))
        except ConnectionEnded:
            return
        self._stream.wait_for_end(_TO_CLOSE)  # else the kernel resets and the abort is lost

    def _release(self) -> None:
        self._house.reception.settle()
        self._stream.send(pdu.RELEASE_RP)
        self._stream.wait_for_end(_TO_CLOSE)

    # -- PDUs -----------------------------------------------------------------------------

    def _serve(self, caller: Caller) -> bool:
        """Take one PDU; return whether the association goes on."""
        kind, length, came = self._read_header()
        if kind == PduType.DATA:
            self._take_data(caller, length, came)
            return True
        if kind == PduType.RELEASE_RQ and length == 4 and self._pending is None:
            self._stream.fill(self._header[came : 6 + length])
            self._release()
            return False
        if kind == PduType.ABORT:
            return False
        known = kind in frozenset(PduType)
        raise ProtocolViolation(
            "a PDU that must not come here",
            AbortReason.UNEXPECTED_PDU if known else AbortReason.UNRECOGNIZED_PDU,
        )

    def _read_header(self) -> tuple[int, int, int]:
        """Return type and length of the next PDU, and how many bytes of it were read.

        Until its first byte a peer may be silent for the timeout; the rest has to come together.
        """
        came = self._stream.some(self._header)
        if came < pdu.PDU_HEADER.size:
            self._stream.fill(self._header[came : pdu.PDU_HEADER.size])
            came = pdu.PDU_HEADER.size
        kind, length = pdu.PDU_HEADER.unpack_from(self._header)
        return kind, length, came

    def _read_whole(self, length: int, came: int) -> bytes:
        """Return the PDU of which the first `came` bytes are in the header."""
        if not 68 <= length <= _LONGEST_REQUEST:
            raise ProtocolViolation("an A-ASSOCIATE-RQ of no possible length")
        whole = bytearray(6 + length)
        whole[:came] = self._header[:came]
        self._stream.fill(memoryview(whole)[came:])
        return bytes(whole)

    def _take_data(self, caller: Caller, length: int, came: int) -> None:
        """Take a P-DATA-TF PDU. PS3.8 section 9.3.5 and annex E."""
        if length > max(self._house.max_pdu_length, _LONGEST_PDU):
            raise ProtocolViolation("the PDU is longer than anything we agreed to")
        start, rest = pdu.PDU_HEADER.size, length
        while rest:
            if rest < pdu.PDV_HEADER.size:
                raise ProtocolViolation("a PDU that ends inside the header of a fragment")
            self._stream.fill(self._header[came:])
            size, context_id, control = pdu.PDV_HEADER.unpack_from(self._header, start)
            rest -= pdu.PDV_HEADER.size
            if not 0 <= size - 2 <= rest:
                raise ProtocolViolation("a fragment that is longer than its PDU")
            self._take_fragment(caller, context_id, control, size - 2)
            rest -= size - 2
            came = start

    def _take_fragment(self, caller: Caller, context_id: int, control: int, size: int) -> None:
        is_last = bool(control & IS_LAST)
        if control & IS_COMMAND:
            self._take_command(caller, context_id, size, is_last=is_last)
        else:
            self._take_data_set(caller, context_id, size, is_last=is_last)
        if self._pace.is_too_slow(size):
            raise ProtocolViolation("a message that comes too slowly")

    def _take_data_set(self, caller: Caller, context_id: int, size: int, *, is_last: bool) -> None:
        pending = self._pending
        if pending is None or context_id != self._context_id:
            raise ProtocolViolation("a data set fragment that no command announced")
        while size:
            view = pending.space(size)
            self._stream.fill(view)
            pending.took(len(view))
            size -= len(view)
        if is_last:
            self._pending = None
            self._finish(caller, pending)

    # -- messages -------------------------------------------------------------------------

    def _take_command(self, caller: Caller, context_id: int, size: int, *, is_last: bool) -> None:
        if self._pending is not None or len(self._command) + size > _LONGEST_COMMAND:
            raise ProtocolViolation("a command inside a data set, or an endless one")
        if context_id not in self._contexts:
            raise ProtocolViolation("a presentation context that was not accepted")
        fragment = bytearray(size)
        self._stream.fill(memoryview(fragment))
        self._command += fragment
        if is_last:
            command = parse(bytes(self._command))
            self._command.clear()
            self._context_id = context_id
            self._begin(caller, command)

    def _begin(self, caller: Caller, command: Command) -> None:
        if command.field & RESPONSE:
            raise ProtocolViolation("a response, where nothing was asked")
        if command.field == C_CANCEL_RQ:
            return  # what it would cancel is answered already
        self._pace.begin()
        syntax = self._contexts[self._context_id]
        pending: Upload | Request
        if command.field == C_STORE_RQ:
            pending = self._house.reception.begin(caller, command, syntax)
        else:
            pending = Request(command, syntax)
        if command.has_data_set:
            self._pending = pending
        else:
            self._finish(caller, pending)

    def _finish(self, caller: Caller, pending: Upload | Request) -> None:
        """Answer the request, whose data set is here."""
        if isinstance(pending, Upload):
            self._finish_upload(caller, pending)
        else:
            reply = self._answer(caller, pending)
            if reply.status != _SUCCESS:
                self._tell_refused(caller, pending, reply)
            self._respond(pending.command, reply)
        self._pace.pause()

    def _finish_upload(self, caller: Caller, upload: Upload) -> None:
        outcome = self._house.reception.finish(caller, upload)
        status = STATUSES[outcome]
        try:
            self._respond(upload.command, Reply(status=status.code, comment=status.comment))
        finally:
            self._house.reception.tell(caller, upload, outcome)

    def _answer(self, caller: Caller, request: Request) -> Reply:
        command = request.command
        if command.field == C_ECHO_RQ:
            return Reply(status=_SUCCESS)
        service = self._house.services.get(command.sop_class_uid)
        if service is None or command.field not in service.operations:
            return Reply(status=_UNRECOGNIZED_OPERATION, comment="this operation is not offered")
        message = Message(
            caller=caller,
            command=command,
            transfer_syntax_uid=request.transfer_syntax_uid,
            data_set=bytes(request.data_set),
        )
        try:
            return service.answer(message)
        except OSError:  # the disk does not take what the answer would promise
            failed = STATUSES[Outcome.FAILED]
            return Reply(status=failed.code, comment=failed.comment)

    def _tell_refused(self, caller: Caller, request: Request, reply: Reply) -> None:
        self._house.tally.count(caller.calling_ae_title, caller.address, REFUSED_MESSAGES)
        command = request.command
        self._house.refusals.tell(
            Event.NOTICE_REFUSED,
            reply.comment,
            calling_ae_title=caller.calling_ae_title,
            peer_address=caller.address,
            status=f"{reply.status:04X}",
            # What is no UID may be anything, so it is not written down.
            sop_class_uid=command.sop_class_uid if is_valid_uid(command.sop_class_uid) else "",
            size=len(request.data_set),
        )

    def _respond(self, command: Command, reply: Reply) -> None:
        instance = reply.sop_instance_uid or command.sop_instance_uid
        response = encode_response(
            command,
            reply.status,
            comment=reply.comment,
            sop_class_uid=command.sop_class_uid if is_valid_uid(command.sop_class_uid) else "",
            sop_instance_uid=instance if is_valid_uid(instance) else "",
            error_id=reply.error_id,
        )
        self._stream.send(pdu.command_pdus(self._context_id, response, self._longest_answer))


def _unsupported(request: negotiation.Request) -> Refusal | None:
    if not request.is_version_1:
        return Refusal.PROTOCOL_VERSION
    if request.application_context != negotiation.APPLICATION_CONTEXT:
        return Refusal.APPLICATION_CONTEXT
    return None
