"""A connection as a stream of bytes: whole reads within a time, no polling, few system calls.

On a plain connection the kernel does the waiting and the counting (SO_RCVTIMEO and MSG_WAITALL);
a TLS connection cannot be read in this way, so there Python does.
"""

import socket
import ssl
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

_TIMEVAL = struct.Struct("@ll")


def names_in(certificate: Mapping[str, Any]) -> frozenset[str]:
    """Return the common name and the alternative names, in small letters. RFC 5280 4.2.1.6."""
    subject = [pair for part in certificate.get("subject", ()) for pair in part]
    names = [value for kind, value in subject if kind == "commonName"]
    names += [value for _, value in certificate.get("subjectAltName", ()) if type(value) is str]
    return frozenset(name.lower() for name in names)


class ConnectionEnded(Exception):
    """The peer closed the connection, broke it, or let us wait too long."""


class Stream:
    """One accepted connection; `timeout` in seconds bounds each read and each write."""

    def __init__(
        self, connection: socket.socket, timeout: float, monotonic: Callable[[], float]
    ) -> None:
        self._connection = connection
        self._timeout = timeout
        self._monotonic = monotonic
        with suppress(OSError):  # of TCP alone
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._flags = 0
        if isinstance(connection, ssl.SSLSocket):
            connection.settimeout(timeout)
        else:
            self._flags = socket.MSG_WAITALL
            connection.settimeout(None)
            self.set_timeout(timeout)

    def set_timeout(self, timeout: float) -> None:
        """Wait that many seconds for what is read and written from now on."""
        self._timeout = timeout
        if isinstance(self._connection, ssl.SSLSocket):
            self._connection.settimeout(timeout)
            return
        value = _TIMEVAL.pack(int(timeout), int(timeout % 1 * 1_000_000))
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)

    def certificate_names(self) -> frozenset[str]:
        """Return whom the peer's certificate names, in small letters; nobody without TLS."""
        if not isinstance(self._connection, ssl.SSLSocket):
            return frozenset()
        return names_in(self._connection.getpeercert() or {})

    def some(self, view: memoryview) -> int:
        """Read at least one byte and at most as many as fit; return how many."""
        try:
            count = self._connection.recv_into(view)
        except OSError as error:
            raise ConnectionEnded from error
        if count == 0:
            raise ConnectionEnded
        return count

    def fill(self, view: memoryview) -> None:
        """Read as many bytes as fit. Raises ConnectionEnded, also where they come too slowly."""
        deadline = self._monotonic() + self._timeout
        while view:
            try:
                count = self._connection.recv_into(view, 0, self._flags)
            except OSError as error:
                raise ConnectionEnded from error
            view = view[count:]
            if view and (count == 0 or self._monotonic() >= deadline):
                raise ConnectionEnded

    def send(self, data: bytes) -> None:
        """Write everything. Raises ConnectionEnded."""
        try:
            self._connection.sendall(data)
        except OSError as error:
            raise ConnectionEnded from error

    def wait_for_end(self, timeout: float) -> None:
        """Return when the peer has closed, or after `timeout` seconds; what it sends is lost."""
        rest = memoryview(bytearray(65_536))
        deadline = self._monotonic() + timeout
        self.set_timeout(timeout)
        with suppress(ConnectionEnded, OSError):
            while self._monotonic() < deadline:
                self.some(rest)

    def break_off(self) -> None:
        """End all reading and writing, from any thread."""
        with suppress(OSError):  # of the plain socket: TLS would want to say good-bye
            socket.socket.shutdown(self._connection, socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the connection back to the kernel."""
        self._connection.close()
