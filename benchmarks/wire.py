"""The requestor's half of the DICOM upper layer, made for speed: standard library only.

A benchmark's sender must never be what is measured. So an instance is encoded once (command and
data set as P-DATA-TF, PS3.8 section 9.3.5) and every further one is the same buffers with its
UIDs overwritten; the pixel data is one fragment that the kernel reads again and again.
"""

import random
import socket
import struct
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

EXPLICIT = "1.2.840.10008.1.2.1"
_OWN_MAX_LENGTH = 16_384  # answers are small
_FRAGMENT = 131_072  # where the receiver says "no limit"
_VECTORS = 512  # buffers a sendmsg; the kernel takes 1024
_NOISE = random.Random(7).randbytes(_FRAGMENT)  # noqa: S311 - it stands for pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class Blank:
    """An instance to be numbered: its encoded elements before the pixels, and how many those are.

    `study`, `series`, `instance`, `number`, `position` are the offsets of the values in `prefix`
    that every copy overwrites: UIDs of `UID_LENGTH` bytes, an Instance Number of eight digits, and
    the last coordinate of Image Position (Patient) in eight characters.
    """

    sop_class_uid: str
    prefix: bytes
    pixel_bytes: int
    study: int
    series: int
    instance: int
    number: int
    position: int

    @property
    def size(self) -> int:
        """Return how many bytes the data set has."""
        return len(self.prefix) + self.pixel_bytes

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` takes: the way to a sender's process."""
        return asdict(self) | {"prefix": b64encode(self.prefix).decode()}

    @staticmethod
    def from_json(values: dict[str, Any]) -> "Blank":
        """Return the blank again."""
        return Blank(**values | {"prefix": b64decode(values["prefix"])})


UID_LENGTH = 32


def uid(kind: int, run: int, share: int, index: int) -> bytes:
    """Return a UID of `UID_LENGTH` bytes; `kind` 1 is a study, 2 a series, 3 an instance."""
    made = f"2.25.{kind}{run:010}{share:06}{index:010}".encode()
    if len(made) != UID_LENGTH:
        raise ValueError(f"{made!r} is too long: a number is out of bounds")
    return made


class Instance:
    """The PDUs of one C-STORE-RQ, for a receiver that takes PDUs of `max_length` bytes."""

    def __init__(self, blank: Blank, context_id: int, max_length: int) -> None:
        command = _store_command(blank.sop_class_uid, b"0" * UID_LENGTH)
        head = bytearray(data_pdu(context_id, 0x03, command))
        self._message_id = head.index(struct.pack("<HHI", 0, 0x0110, 2)) + 8
        self._named = head.index(b"0" * UID_LENGTH)
        fragment = (min(max_length or _FRAGMENT, _FRAGMENT) - 6) & ~1
        first = min(fragment, blank.size)
        if len(blank.prefix) > first:
            raise ValueError("the elements before the pixels do not fit into one PDU")
        is_all = first == blank.size
        start = blank.prefix + _NOISE[: first - len(blank.prefix)]
        self._data_set = len(head) + 12
        head += data_pdu(context_id, 0x02 if is_all else 0x00, start)
        self._blank, self._head = blank, head
        self.buffers: list[bytes | bytearray] = [head]
        self.size = blank.size
        if not is_all:
            self._add_pixels(context_id, fragment, blank.size - first)

    def _add_pixels(self, context_id: int, fragment: int, left: int) -> None:
        full = data_pdu(context_id, 0x00, _NOISE[:fragment])
        count, last = divmod(left - 1, fragment)
        self.buffers += [full] * count
        self.buffers.append(data_pdu(context_id, 0x02, _NOISE[: last + 1]))

    def number(self, message_id: int, study: bytes, series: bytes, instance: bytes) -> None:
        """Make it another instance, in place."""
        head, blank, start = self._head, self._blank, self._data_set
        struct.pack_into("<H", head, self._message_id, message_id)
        head[self._named : self._named + UID_LENGTH] = instance
        for offset, value in (
            (blank.study, study),
            (blank.series, series),
            (blank.instance, instance),
            (blank.number, instance[-8:]),
            (blank.position, instance[-6:] + b".0"),  # one image a millimetre
        ):
            head[start + offset : start + offset + len(value)] = value

    def data_set(self) -> Iterator[bytes]:
        """Yield what a receiver must have stored, in pieces."""
        yield bytes(self._head[self._data_set :])
        for buffer in self.buffers[1:]:
            yield bytes(buffer[12:])


class Association:
    """An open association as requestor. Raises ConnectionError where the peer does not play."""

    def __init__(
        self,
        port: int,
        sop_class_uids: Sequence[str],
        *,
        calling: str = "BENCHMARK",
        called: str = "APPLIANCE",
        patience: float = 120.0,
    ) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        limit = struct.pack("ll", int(patience), 0)  # a timeout of Python's own polls before each
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._contexts = {name: 2 * i + 1 for i, name in enumerate(sop_class_uids)}
        self.socket.sendall(_associate_request(calling, called, self._contexts))
        kind, body = self._read()
        if kind != 0x02:
            raise ConnectionError(f"the association was not accepted: PDU type {kind}")
        self.max_length, accepted = _accepted(body)
        refused = [name for name, number in self._contexts.items() if number not in accepted]
        if refused:
            raise ConnectionError(f"not accepted: {', '.join(refused)}")

    def instance(self, blank: Blank) -> Instance:
        """Return the blank, encoded for this association."""
        return Instance(blank, self._contexts[blank.sop_class_uid], self.max_length)

    def store(self, instance: Instance) -> int:
        """Send the instance and wait for its answer; return the status."""
        _send(self.socket, instance.buffers)
        kind, body = self._read()
        if kind != 0x04:
            raise ConnectionError(f"no C-STORE-RSP but a PDU of type {kind}")
        return _status(body)

    def release(self) -> None:
        """Ask for the release, wait for the answer, and hang up."""
        self.socket.sendall(struct.pack(">BBII", 0x05, 0, 4, 0))
        kind, _ = self._read()
        self.socket.close()
        if kind != 0x06:
            raise ConnectionError(f"no A-RELEASE-RP but a PDU of type {kind}")

    def _read(self) -> tuple[int, bytes]:
        data = self.socket.recv(65_536)
        while len(data) < 6 or len(data) < 6 + struct.unpack_from(">I", data, 2)[0]:
            more = self.socket.recv(65_536)
            if not more:
                raise ConnectionError("the receiver hung up")
            data += more
        return data[0], data[6:]


def _send(connection: socket.socket, buffers: Sequence[bytes | bytearray]) -> None:
    start = 0
    while start < len(buffers):
        sent = connection.sendmsg(buffers[start : start + _VECTORS])
        while start < len(buffers) and sent >= len(buffers[start]):
            sent -= len(buffers[start])
            start += 1
        if sent:
            connection.sendall(memoryview(buffers[start])[sent:])
            start += 1


def data_pdu(context_id: int, control: int, fragment: bytes) -> bytes:
    """Return a P-DATA-TF with one fragment; control: 1 command, 2 last (PS3.8 annex E.2)."""
    length = len(fragment) + 2
    return struct.pack(">BBIIBB", 0x04, 0, length + 4, length, context_id, control) + fragment


def _store_command(sop_class_uid: str, sop_instance_uid: bytes) -> bytes:
    """PS3.7 section 9.3.1.1, implicit VR little endian."""
    elements = b"".join(
        (
            element(0x0002, _padded(sop_class_uid.encode())),
            element(0x0100, struct.pack("<H", 0x0001)),
            element(0x0110, struct.pack("<H", 1)),
            element(0x0700, struct.pack("<H", 0)),
            element(0x0800, struct.pack("<H", 0x0102)),
            element(0x1000, _padded(sop_instance_uid)),
        )
    )
    return element(0x0000, struct.pack("<I", len(elements))) + elements


def element(number: int, value: bytes) -> bytes:
    """Return an element of a command set."""
    return struct.pack("<HHI", 0, number, len(value)) + value


def _padded(value: bytes) -> bytes:
    return value + b"\0" * (len(value) % 2)


def _status(body: bytes) -> int:
    """Return the Status (0000,0900) of the response in a P-DATA-TF."""
    at = 6  # after the PDV's length, context and control header
    while at + 8 <= len(body):
        number, length = struct.unpack_from("<xxHI", body, at)
        if number == 0x0900:
            return int.from_bytes(body[at + 8 : at + 10], "little")
        at += 8 + length
    raise ConnectionError("a response without a status")


def item(kind: int, value: bytes) -> bytes:
    """Return an item of an association PDU."""
    return struct.pack(">BBH", kind, 0, len(value)) + value


def _associate_request(calling: str, called: str, contexts: dict[str, int]) -> bytes:
    """PS3.8 section 9.3.2."""
    offered = b"".join(
        item(
            0x20,
            struct.pack("BBBB", number, 0, 0, 0)
            + item(0x30, name.encode())
            + item(0x40, EXPLICIT.encode()),
        )
        for name, number in contexts.items()
    )
    user = item(0x51, struct.pack(">I", _OWN_MAX_LENGTH)) + item(0x52, b"2.25.1")
    body = (
        struct.pack(">HH16s16s32x", 1, 0, called.encode().ljust(16), calling.encode().ljust(16))
        + item(0x10, b"1.2.840.10008.3.1.1.1")
        + offered
        + item(0x50, user)
    )
    return struct.pack(">BBI", 0x01, 0, len(body)) + body


def _accepted(body: bytes) -> tuple[int, set[int]]:
    """Return the largest PDU (0: any) and the accepted contexts of an A-ASSOCIATE-AC."""
    accepted: set[int] = set()
    max_length, at = 0, 68
    while at + 4 <= len(body):
        kind, _, length = struct.unpack_from(">BBH", body, at)
        at += 4
        if kind == 0x50:
            at -= length  # its items follow; step into it
        if kind == 0x21 and body[at + 2] == 0:
            accepted.add(body[at])
        if kind == 0x51:
            (max_length,) = struct.unpack_from(">I", body, at)
        at += length
    return max_length, accepted
