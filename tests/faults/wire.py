"""A DICOM peer made of `struct` and a socket: it sends the bytes that it is told, and no others.

Nothing is parsed or encoded again on the way, so what it sent is known to the byte, and so is
which instances were acknowledged. PDUs: PS3.8 section 9.3. Commands: PS3.7 section 9.3.
"""

import socket
import struct
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from tests.counterparts import HOST
from tests.faults.datasets import Instance

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)
APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT, EXPLICIT, BIG_ENDIAN = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.2",
)
OURS, CALLED = "STORESCU", "APPLIANCE"

Contexts = Sequence[tuple[int, str, Sequence[str]]]  # id, abstract syntax, transfer syntaxes


class Broken(Exception):
    """The peer ended the connection, aborted or did not answer in time."""


def pdu(kind: int, body: bytes, *, length: int | None = None) -> bytes:
    """Return a PDU; `length` is what its header says instead of the truth."""
    return struct.pack(">BBI", kind, 0, len(body) if length is None else length) + body


def item(kind: int, body: bytes, *, length: int | None = None) -> bytes:
    """Return an item of an A-ASSOCIATE PDU."""
    return struct.pack(">BBH", kind, 0, len(body) if length is None else length) + body


def title(name: str) -> bytes:
    """Return an AE title as PDUs have it: 16 characters."""
    return name.encode("latin-1").ljust(16)[:16]


def context_item(number: int, abstract: str, transfer: Iterable[str]) -> bytes:
    """Return a proposed presentation context."""
    syntaxes = b"".join(item(0x40, uid.encode("latin-1")) for uid in transfer)
    inner = item(0x30, abstract.encode("latin-1")) + syntaxes
    return item(0x20, bytes((number, 0, 0, 0)) + inner)


def user_information(*, longest: int = 65_536, more: bytes = b"") -> bytes:
    """Return the item with our longest PDU and implementation."""
    return item(
        0x50,
        item(0x51, struct.pack(">I", longest))
        + item(0x52, b"2.25.1")
        + item(0x55, b"RAW_SENDER")
        + more,
    )


def associate_body(
    contexts: Contexts,
    *,
    calling: str = OURS,
    called: str = CALLED,
    version: int = 1,
    items: bytes | None = None,
) -> bytes:
    """Return the variable part of an A-ASSOCIATE-RQ; `items` in place of the usual ones."""
    usual = item(0x10, APPLICATION_CONTEXT.encode())
    usual += b"".join(context_item(*context) for context in contexts) + user_information()
    fixed = struct.pack(">HH", version, 0) + title(called) + title(calling) + bytes(32)
    return fixed + (usual if items is None else items)


def associate_rq(contexts: Contexts, **changes: str) -> bytes:
    """Return an A-ASSOCIATE-RQ. `changes`: calling, called."""
    return pdu(ASSOCIATE_RQ, associate_body(contexts, **changes))  # type: ignore[arg-type]


def pdv(context: int, control: int, fragment: bytes, *, length: int | None = None) -> bytes:
    """Return a presentation data value; bit 0 of `control` is a command, bit 1 the last."""
    length = len(fragment) + 2 if length is None else length
    return struct.pack(">IBB", length, context, control) + fragment


def element(number: int, value: bytes, *, group: int = 0, length: int | None = None) -> bytes:
    """Return an element of a command set."""
    length = len(value) if length is None else length
    return struct.pack("<HHI", group, number, length) + value


def number(value: int) -> bytes:
    """Return a US value."""
    return struct.pack("<H", value)


def uid_value(uid: str) -> bytes:
    """Return a UI value, padded."""
    text = uid.encode("latin-1")
    return text + b"\0" * (len(text) % 2)


def command_set(*elements: bytes) -> bytes:
    """Return the elements after their group length."""
    body = b"".join(elements)
    return element(0x0000, struct.pack("<I", len(body))) + body


def store_command(
    sop_class: str, sop_instance: str, message: int = 1, operation: int = 0x0001
) -> bytes:
    """Return a C-STORE-RQ command set, or that of another operation with a data set."""
    priority = element(0x0700, number(2)) if operation == 0x0001 else b""
    return command_set(
        element(0x0002, uid_value(sop_class)),
        element(0x0100, number(operation)),
        element(0x0110, number(message)),
        priority,
        element(0x0800, number(1)),
        element(0x1000, uid_value(sop_instance)),
    )


def echo_command(message: int = 1) -> bytes:
    """Return a C-ECHO-RQ command set."""
    return command_set(
        element(0x0002, uid_value(VERIFICATION)),
        element(0x0100, number(0x0030)),
        element(0x0110, number(message)),
        element(0x0800, number(0x0101)),
    )


def fragments(context: int, data: bytes, size: int) -> Iterable[bytes]:
    """Yield P-DATA-TF PDUs of a data set, `size` bytes of it in each."""
    for start in range(0, len(data) or 1, size):
        piece = data[start : start + size]
        yield pdu(P_DATA, pdv(context, 2 if start + size >= len(data) else 0, piece))


def command_pdu(context: int, command: bytes) -> bytes:
    """Return a P-DATA-TF with a whole command."""
    return pdu(P_DATA, pdv(context, 3, command))


@dataclass(frozen=True, slots=True)
class Response:
    """A DIMSE response: only what a sender needs of it."""

    field: int
    message: int
    status: int
    sop_instance_uid: str


def read_command(data: bytes) -> Response:
    """Return what a response's command set says. Raises Broken."""
    values: dict[int, bytes] = {}
    position = 0
    while position + 8 <= len(data):
        group, tag, length = struct.unpack_from("<HHI", data, position)
        values[group << 16 | tag] = data[position + 8 : position + 8 + length]
        position += 8 + length
    try:
        field, message, status = (
            struct.unpack("<H", values[tag])[0] for tag in (0x0100, 0x0120, 0x0900)
        )
    except (KeyError, struct.error):
        raise Broken("the response lacks what every response has") from None
    uid = values.get(0x1000, b"").rstrip(b"\0").decode("latin-1")
    return Response(field, message, status, uid)


class Peer:
    """A connection on which bytes are sent and PDUs are read."""

    def __init__(
        self, port: int, *, seconds: float = 20, address: str = HOST, segment: int = 0
    ) -> None:
        """Connect; `segment`: bytes that are handed to the network at one time, 0 for all."""
        try:
            self.socket = socket.create_connection(
                (HOST, port), timeout=seconds, source_address=(address, 0)
            )
        except OSError as error:
            raise Broken(str(error)) from error
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.accepted: dict[int, str] = {}
        self.longest = 16_384
        self._message = 0
        self._segment = segment

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send these bytes. Raises Broken."""
        size = self._segment or len(data) or 1
        try:
            for start in range(0, len(data), size):
                if 0 < start < 4 * size:
                    time.sleep(0.005)  # the first pieces arrive as pieces
                self.socket.sendall(data[start : start + size])
        except OSError as error:
            raise Broken(str(error)) from error

    def receive(self) -> tuple[int, bytes]:
        """Return the next PDU's type and body. Raises Broken."""
        kind, length = struct.unpack(">BxI", self._exactly(6))
        return kind, self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            try:
                part = self.socket.recv(count - len(parts))
            except OSError as error:
                raise Broken(str(error)) from error
            if not part:
                raise Broken("closed")
            parts += part
        return bytes(parts)

    def associate(self, contexts: Contexts, **changes: str) -> None:
        """Associate; `accepted` then has the transfer syntax of each context. Raises Broken."""
        self.send(associate_rq(contexts, **changes))
        kind, body = self.receive()
        if kind != ASSOCIATE_AC:
            raise Broken(f"PDU {kind} for an A-ASSOCIATE-RQ: {body[:4].hex()}")
        self._read_acceptance(body)

    def _read_acceptance(self, body: bytes) -> None:
        position = 68
        while position + 4 <= len(body):
            kind, length = struct.unpack_from(">BxH", body, position)
            value = body[position + 4 : position + 4 + length]
            position += 4 + length
            if kind == 0x21 and value[2] == 0:
                (size,) = struct.unpack_from(">H", value, 6)
                self.accepted[value[0]] = value[8 : 8 + size].decode("latin-1")
            elif kind == 0x50 and value[:1] == b"\x51":
                self.longest = struct.unpack_from(">I", value, 4)[0] or 1 << 20

    def context_for(self, instance: Instance) -> int:
        """Return the accepted context of the instance's transfer syntax. Raises Broken."""
        for context, syntax in self.accepted.items():
            if syntax == instance.transfer_syntax_uid:
                return context
        raise Broken(f"{instance.transfer_syntax_uid} was not accepted")

    def store(self, instance: Instance, *, fragment: int | None = None) -> int:
        """Send an instance; return the status of its answer. Raises Broken."""
        self.begin(instance, fragment=fragment)
        return self.answer().status

    def begin(self, instance: Instance, *, fragment: int | None = None) -> None:
        """Send an instance and do not wait. Raises Broken."""
        context = self.context_for(instance)
        self._message = self._message % 65_535 + 1
        self.send(
            command_pdu(
                context,
                store_command(
                    instance.sop_class_uid,
                    instance.sop_instance_uid,
                    self._message,
                    instance.operation,
                ),
            )
        )
        size = min(fragment or self.longest - 6, self.longest - 6)
        for one in fragments(context, instance.data, size):
            self.send(one)

    def answer(self) -> Response:
        """Return the next DIMSE response. Raises Broken."""
        command = b""
        while True:
            kind, body = self.receive()
            if kind != P_DATA:
                raise Broken(f"PDU {kind} in place of an answer: {body[:4].hex()}")
            position = 0
            while position + 6 <= len(body):
                length, _, control = struct.unpack_from(">IBB", body, position)
                command += body[position + 6 : position + 4 + length]
                position += 4 + length
                if control & 2:
                    return read_command(command)

    def echo(self) -> int:
        """Send a C-ECHO in context 1; return its status. Raises Broken."""
        self.send(command_pdu(1, echo_command()))
        return self.answer().status

    def release(self) -> None:
        """Release and wait for the answer. Raises Broken."""
        self.send(pdu(RELEASE_RQ, bytes(4)))
        kind, _ = self.receive()
        if kind != RELEASE_RP:
            raise Broken(f"PDU {kind} for an A-RELEASE-RQ")


def contexts_for(instances: Sequence[Instance]) -> list[tuple[int, str, list[str]]]:
    """Return a presentation context for each pair of class and syntax, as modalities propose."""
    pairs = dict.fromkeys((one.sop_class_uid, one.transfer_syntax_uid) for one in instances)
    return [(2 * n + 1, sop_class, [syntax]) for n, (sop_class, syntax) in enumerate(pairs)]


def send_all(port: int, instances: Sequence[Instance], *, calling: str = OURS) -> list[int]:
    """Send the instances in one association; return the statuses. Raises Broken."""
    with Peer(port) as peer:
        peer.associate(contexts_for(instances), calling=calling)
        statuses = [peer.store(one) for one in instances]
        peer.release()
    return statuses


def is_well(port: int, *, address: str = HOST) -> bool:
    """Return whether a good peer is answered on the port: associate, C-ECHO, release."""
    try:
        with Peer(port, address=address) as peer:
            peer.associate([(1, VERIFICATION, [IMPLICIT])])
            status = peer.echo()
            peer.release()
    except Broken:
        return False
    return status == 0
