"""The receiver: one process's share of the listening, from start to stop."""

import ipaddress
import logging
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from appliance.core.clock import Clock
from appliance.core.log import Event, log_event
from appliance.core.ports import InstanceSink
from scp.association import Lobby
from scp.listening import hand_on, listen
from scp.options import ReceiverOptions
from scp.places import Places
from scp.refusals import RefusalLog
from scp.seats import Seats
from scp.services import Service
from scp.session import House, Session
from scp.shelves import shelf_for
from scp.spool import Spool
from scp.store import Reception
from scp.stream import ConnectionEnded, Stream
from scp.tally import UNNAMED, Tally
from scp.tls import TLS_REFUSED, TlsDoor, Wrap, reason_of

_GRACE = 5.0  # seconds that running associations get to end by themselves at a stop
_HESITATION = 0.0005  # seconds for each connection, before another is accepted
_BUSY = 8  # connections
_TIDY = 1000  # milliseconds between writing the counters


@dataclass(frozen=True, slots=True)
class _Door:
    """A listening socket, and what makes TLS connections of those that it accepts."""

    listener: socket.socket
    wrap: Wrap | None

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])


class Receiver:
    """A C-STORE and C-ECHO provider, and what `services` add.

    `listeners` gives the listening sockets; counters are kept under `tallies`. No thread is
    started before `start`, so that a process may fork in between. Raises OSError, and
    ConfigError where the files of TLS are of no use.
    """

    def __init__(
        self,
        options: ReceiverOptions,
        spool: Spool,
        sink: InstanceSink,
        clock: Clock,
        *,
        tallies: Path,
        services: Sequence[Service] = (),
        listeners: Callable[[str, int], socket.socket] = listen,
    ) -> None:
        self._options = options
        self._spool = spool
        self._sink = sink
        self._clock = clock
        self._services = {uid: one for one in services for uid in one.sop_class_uids}
        self._tallies = tallies
        self._refusals = RefusalLog(clock)
        self._doors = tuple(_doors(options, listeners))
        for door in self._doors:
            door.listener.settimeout(0)  # another process may be quicker to accept
        self.port = self._doors[0].port
        self.tls_port = self._doors[-1].port
        self._guard = threading.Condition()
        self._connections: dict[threading.Thread, tuple[Stream | None, str]] = {}
        self._places = Places(options)
        self._wake = -1
        self._thread: threading.Thread | None = None

    @property
    def connections(self) -> int:
        """How many connections are open, associated or not."""
        return len(self._connections)

    def start(self) -> None:
        """Accept associations from now on, in threads of this process. Raises OSError."""
        recovered = self._spool.sweep()
        if recovered:
            self._sink.received(*recovered)
            log_event(Event.SPOOL_RECOVERED, level=logging.WARNING, count=len(recovered))
        self._shelf = shelf_for(self._options.durability, self._spool, self._sink)
        self._shelf.start()
        known = [peer.ae_title for peer in self._options.peers]
        self._tally = Tally(self._tallies, self._clock, known)
        self._seats = Seats(self._spool.root / "seats", self._options.max_associations)
        self._lobby = Lobby(self._options, self._seats)
        self._house = House(
            lobby=self._lobby,
            reception=Reception(
                self._options,
                self._spool,
                self._shelf,
                tally=self._tally,
                refusals=self._refusals,
                clock=self._clock,
            ),
            services=self._services,
            tally=self._tally,
            refusals=self._refusals,
            clock=self._clock,
            max_pdu_length=self._options.max_pdu_length,
            timeout=self._options.network_timeout.total_seconds(),
        )
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._accept_all, name="receiver", daemon=True)
        self._thread.start()

    def hand_on(self, environment: MutableMapping[str, str]) -> None:
        """Leave the listening sockets to the program that replaces this one; then `stop`."""
        kept = [door.listener.dup() for door in self._doors]
        hand_on(kept, environment)

    def stop(self) -> None:
        """Accept nothing more, let running associations end for some seconds, break the rest."""
        if self._thread is None:
            self._close_doors()
            return
        self._lobby.close()
        os.eventfd_write(self._wake, 1)
        self._thread.join()
        self._close_doors()
        os.close(self._wake)
        with self._guard:
            self._guard.wait_for(lambda: not self._connections, _GRACE)
            left = list(self._connections.values())
        for stream, _ in left:
            if stream is not None:
                stream.break_off()
        with self._guard:
            self._guard.wait_for(lambda: not self._connections, _GRACE)
        self._shelf.stop()
        self._refusals.close()
        self._tally.close()
        self._seats.close()
        self._thread = None

    def _close_doors(self) -> None:
        for door in self._doors:
            door.listener.close()

    def _accept_all(self) -> None:
        poll = select.poll()
        doors = {door.listener.fileno(): door for door in self._doors}
        for descriptor in (*doors, self._wake):
            poll.register(descriptor, select.POLLIN)
        while True:
            ready = [descriptor for descriptor, _ in poll.poll(_TIDY)]
            self._tally.flush()
            self._refusals.flush()
            if self._wake in ready:
                return
            for descriptor in ready:
                self._accept(doors[descriptor])

    def _accept(self, door: _Door) -> None:
        self._hesitate()
        try:
            connection, address = door.listener.accept()
        except OSError:  # another process took it, the peer left, or we are out of descriptors
            return
        host = _address(address[0])
        thread = threading.Thread(
            target=self._serve, args=(connection, host, door.wrap), name="association", daemon=True
        )
        with self._guard:
            refusal = self._places.take(host)
            if refusal is None:
                self._connections[thread] = (None, host)
        if refusal is None:
            thread.start()
        else:
            connection.close()  # a stranger who says nothing must not take all places
            self._tell(Event.ASSOCIATION_REJECTED, refusal.value, refusal.value, host)

    def _hesitate(self) -> None:
        """Let another process be quicker that has fewer connections: ours share one interpreter.

        Not where there are many, as in a flood: they are spread evenly enough.
        """
        busy = len(self._connections)
        if busy <= _BUSY:
            time.sleep(busy * _HESITATION)

    def _serve(self, connection: socket.socket, host: str, wrap: Wrap | None) -> None:
        try:
            if wrap is not None:
                connection = self._wrapped(connection, host, wrap)
            self._serve_stream(connection, host)
        except (OSError, ConnectionEnded):
            pass
        finally:
            with suppress(OSError):
                connection.close()
            with self._guard:
                del self._connections[threading.current_thread()]
                self._places.give_back(host)
                self._guard.notify_all()

    def _wrapped(self, connection: socket.socket, host: str, wrap: Wrap) -> socket.socket:
        """Return the connection after its handshake. Raises OSError where there is none."""
        try:
            return wrap(connection)
        except OSError as error:
            self._tell(Event.TLS_REFUSED, reason_of(error), TLS_REFUSED, host)
            raise

    def _serve_stream(self, connection: socket.socket, host: str) -> None:
        timeout = self._options.network_timeout.total_seconds()
        stream = Stream(connection, timeout, self._clock.monotonic)
        with self._guard:
            self._connections[threading.current_thread()] = (stream, host)
        try:
            Session(self._house, stream, host).run()
        finally:
            stream.close()

    def _tell(self, event: Event, reason: str, what: str, host: str) -> None:
        """Count and log a refusal of somebody who did not say his AE title yet."""
        self._tally.count(UNNAMED, host, what)
        self._refusals.tell(event, reason, calling_ae_title="", peer_address=host)


def _doors(
    options: ReceiverOptions, listeners: Callable[[str, int], socket.socket]
) -> Iterator[_Door]:
    """Yield what to listen on, the port with TLS last. Raises OSError, ConfigError."""
    wrap = TlsDoor(options.tls.files) if options.tls is not None else None
    if options.plain:
        yield _Door(listeners(options.host, options.port), None)
    if options.tls is not None:
        yield _Door(listeners(options.tls.host, options.tls.port), wrap)


def _address(text: str) -> str:
    """Return the address as people write it: IPv4 also where it came mapped into IPv6."""
    ip = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ip)
