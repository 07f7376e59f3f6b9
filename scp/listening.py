"""Listening sockets, also those that somebody listened on before this program began.

systemd may listen for us (socket activation, sd_listen_fds(3)): peers that call while the receiver
starts, or is started again, wait in the kernel's queue and are not refused. A program that replaces
itself hands its sockets on in the same way.
"""

import logging
import os
import socket
from collections.abc import Iterable, MutableMapping

from appliance.core.log import Event, log_event

_BACKLOG = 512
_FIRST = 3  # SD_LISTEN_FDS_START
_COUNT, _OWNER, _NAMES = "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"
_HANDED_ON = "APPLIANCE_LISTEN_FDS"  # numbers of descriptors; systemd's begin at 3, ours anywhere

Environment = MutableMapping[str, str]


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


class Listeners:
    """Gives a listening socket for an address: one that this process inherited, or a new one.

    Takes what the environment says of inherited sockets out of it, so that no child believes it.
    """

    def __init__(self, environment: Environment) -> None:
        self._inherited = {int(one.getsockname()[1]): one for one in _inherited(environment)}

    def __call__(self, host: str, port: int) -> socket.socket:
        """Return the socket. Raises OSError where nobody may listen there."""
        return self._inherited.pop(port, None) or listen(host, port)

    def close_unused(self) -> None:
        """Close sockets that nobody asked for, and say so: the settings name other ports."""
        for port, listener in self._inherited.items():
            listener.close()
            log_event(
                Event.SOCKET_UNUSED,
                level=logging.WARNING,
                reason=f"a socket for port {port} was given to us, and the settings do not name it",
            )
        self._inherited.clear()


def _inherited(environment: Environment) -> Iterable[socket.socket]:
    count, owner = environment.pop(_COUNT, "0"), environment.pop(_OWNER, "")
    handed_on = environment.pop(_HANDED_ON, "")
    environment.pop(_NAMES, None)
    if owner != str(os.getpid()):  # meant for another process
        return
    numbers = [int(number) for number in handed_on.split()]
    for number in (*range(_FIRST, _FIRST + int(count)), *numbers):
        os.set_inheritable(number, False)  # noqa: FBT003 - it takes no keyword
        found = socket.socket(fileno=number)
        if found.family in (socket.AF_INET, socket.AF_INET6):
            yield found


def hand_on(listeners: Iterable[socket.socket], environment: Environment) -> None:
    """Leave the sockets open and tell the program that replaces this one in this process."""
    numbers = [one.detach() for one in listeners]
    for number in numbers:
        os.set_inheritable(number, True)  # noqa: FBT003 - likewise
    environment[_OWNER] = str(os.getpid())
    environment[_HANDED_ON] = " ".join(map(str, numbers))
