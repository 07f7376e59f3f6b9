"""Accepted connections become TLS connections, with certificates that may change meanwhile."""

import logging
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

from appliance.core.errors import ConfigError
from appliance.core.log import Event, log_event
from appliance.core.tls import TlsFiles, server_context

Wrap = Callable[[socket.socket], socket.socket]
"""Makes a TLS connection of an accepted one; raises OSError where the peer does not agree."""

TLS_REFUSED = "TLS handshakes failed"  # as what a failed handshake is counted

_HANDSHAKE = 10.0  # seconds for all of it, however slowly its bytes come

_Stamp = tuple[tuple[int, int, int], ...]


class TlsDoor:
    """A `Wrap`. Raises ConfigError where the files are of no use at the start.

    The files are looked at when a connection comes; new ones serve it. While new ones are of no
    use (a certificate comes before its key), the old ones go on and that is told once.
    """

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._guard = threading.Lock()
        self._stamp = _stamp(files)
        self._context = server_context(files)

    def __call__(self, connection: socket.socket) -> ssl.SSLSocket:
        """Return the connection after its handshake. Raises OSError, and then it is closed."""
        connection.settimeout(_HANDSHAKE)  # for SSLSocket, that of the whole handshake
        return self._current().wrap_socket(connection, server_side=True)

    def _current(self) -> ssl.SSLContext:
        with self._guard:
            stamp = _stamp(self._files)
            if stamp != self._stamp:
                self._stamp = stamp
                self._load()
            return self._context

    def _load(self) -> None:
        try:
            self._context = server_context(self._files)
        except ConfigError as error:
            log_event(Event.CERTIFICATE_REFUSED, level=logging.ERROR, reason=str(error))
        else:
            log_event(Event.CERTIFICATE_LOADED, path=str(self._files.certificate))


def reason_of(failure: OSError) -> str:
    """Return why a handshake failed; the words are OpenSSL's or ours, none is the peer's."""
    if isinstance(failure, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {failure.verify_message}"
    if isinstance(failure, ssl.SSLError) and failure.reason:
        return failure.reason.replace("_", " ").lower()
    if isinstance(failure, TimeoutError):
        return "the handshake took too long"
    return "the connection ended"


def _stamp(files: TlsFiles) -> _Stamp:
    return tuple(map(_stamp_of, files.paths()))


def _stamp_of(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)  # not there now: that too is a change
    return (found.st_ino, found.st_mtime_ns, found.st_size)
