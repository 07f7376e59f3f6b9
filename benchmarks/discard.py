"""A receiver that keeps nothing: what the sender and the loopback can do at most.

    python -m benchmarks.discard PORT

It takes explicit little endian, reads, and says success. No receiver that writes can be as quick,
so where one comes near, its figure is the sender's.
"""

import socket
import struct
import sys
import threading

from benchmarks.wire import EXPLICIT, data_pdu, element, item

_MAX_PDU = 131_072


def serve(connection: socket.socket) -> None:
    """Answer one association until its release."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buffer = memoryview(bytearray(1_048_576))
    command = b""
    with connection:
        while kind_and_length := _header(connection, buffer):
            kind, length = kind_and_length
            body = buffer[:length]
            connection.recv_into(body, length, socket.MSG_WAITALL)
            if kind == 0x01:
                connection.sendall(_accept(bytes(body)))
            elif kind == 0x05:
                connection.sendall(struct.pack(">BBII", 0x06, 0, 4, 0))
            elif body[5] & 1:
                command = bytes(body)
            elif body[5] & 2:
                connection.sendall(_success(command))


def _header(connection: socket.socket, buffer: memoryview) -> tuple[int, int] | None:
    if connection.recv_into(buffer[:6], 6, socket.MSG_WAITALL) < 6:
        return None
    kind, length = struct.unpack_from(">BxI", buffer)
    return kind, length


def _accept(request: bytes) -> bytes:
    """Return the A-ASSOCIATE-AC that takes what was asked (PS3.8 section 9.3.3)."""
    answered, at = b"", 68
    while at + 4 <= len(request):
        kind, _, length = struct.unpack_from(">BBH", request, at)
        if kind == 0x20:
            inner = request[at + 4 : at + 4 + length]
            result = 0 if EXPLICIT.encode() in inner else 4
            taken = item(0x40, EXPLICIT.encode())
            answered += item(0x21, struct.pack("BBBB", inner[0], 0, result, 0) + taken)
        at += 4 + length
    user = item(0x51, struct.pack(">I", _MAX_PDU)) + item(0x52, b"2.25.1")
    body = request[:68] + item(0x10, b"1.2.840.10008.3.1.1.1") + answered + item(0x50, user)
    return struct.pack(">BBI", 0x02, 0, len(body)) + body


def _success(command: bytes) -> bytes:
    """Return the C-STORE-RSP to the one request that `wire` makes."""
    at = command.index(struct.pack("<HHI", 0, 0x0110, 2)) + 8
    elements = b"".join(
        (
            element(0x0100, struct.pack("<H", 0x8001)),
            element(0x0120, command[at : at + 2]),
            element(0x0800, struct.pack("<H", 0x0101)),
            element(0x0900, struct.pack("<H", 0)),
        )
    )
    grouped = element(0x0000, struct.pack("<I", len(elements))) + elements
    return data_pdu(command[4], 0x03, grouped)


def main(port: int) -> None:
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main(int(sys.argv[1]))
