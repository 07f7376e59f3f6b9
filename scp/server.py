"""The receiver: one process's share of the listening, from start to stop."""

import logging
import socket
import threading
import time

from pynetdicom.ae import ApplicationEntity

from appliance.core.clock import Clock
from appliance.core.ports import InstanceSink
from appliance.core.product import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from scp.acceptor import House, StorageServer
from scp.association import Lobby
from scp.options import ReceiverOptions
from scp.spool import Spool
from scp.store import Reception

_GRACE = 5.0  # seconds that running associations get to end by themselves at a stop
_BACKLOG = 128


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; several receiver processes can inherit it. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


class Receiver:
    """A C-STORE and C-ECHO provider. `listener` replaces the options' host and port."""

    def __init__(
        self,
        options: ReceiverOptions,
        spool: Spool,
        sink: InstanceSink,
        clock: Clock,
        *,
        listener: socket.socket | None = None,
    ) -> None:
        # Its messages quote data sets and command sets of peers; ours are events.
        logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
        timeout = options.network_timeout.total_seconds()
        self._lobby = Lobby(options)
        self._house = House(
            lobby=self._lobby,
            reception=Reception(options, spool, sink, clock),
            max_pdu_length=options.max_pdu_length,
            timeout=timeout,
        )
        self._ae = _application_entity(options, timeout)
        self._listener = listener or listen(options.host, options.port)
        self.port = int(self._listener.getsockname()[1])
        self._spool = spool
        self._server: StorageServer | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Accept associations from now on, in threads of this process."""
        self._spool.sweep()
        self._server = StorageServer(self._ae, self._listener, self._house)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="receiver", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Accept nothing more, let running associations end for some seconds, abort the rest."""
        if self._server is None or self._thread is None:
            self._listener.close()
            return
        self._lobby.close()
        self._server.stop_accepting()
        self._thread.join()
        deadline = time.monotonic() + _GRACE
        while self._server.associations() and time.monotonic() < deadline:
            time.sleep(0.02)
        for association in self._server.associations():
            association.abort()
        self._server = self._thread = None


def _application_entity(options: ReceiverOptions, timeout: float) -> ApplicationEntity:
    entity = ApplicationEntity(options.ae_title)
    entity.maximum_pdu_size = options.max_pdu_length
    entity.maximum_associations = 1_000_000  # the lobby counts; here nobody is refused
    entity.acse_timeout = min(timeout, 30.0)
    entity.dimse_timeout = timeout
    entity.network_timeout = timeout
    entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    return entity
