"""Sockets that a process inherits are used where the settings name them."""

import os
import socket

import pytest

from appliance.core.log import Event
from scp.listening import Listeners, hand_on, listen


def test_a_socket_that_is_handed_on_is_listened_on_again_and_one_too_many_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wanted, unwanted = listen("127.0.0.1", 0), listen("127.0.0.1", 0)
    port, other = wanted.getsockname()[1], unwanted.getsockname()[1]
    environment: dict[str, str] = {}
    hand_on([wanted, unwanted], environment)

    listeners = Listeners(environment)
    taken = listeners("127.0.0.1", port)
    listeners.close_unused()

    assert environment == {}
    with taken, socket.create_connection(("127.0.0.1", port)):
        assert not os.get_inheritable(taken.fileno())
    (record,) = caplog.records
    assert record.message == Event.SOCKET_UNUSED.value
    assert str(other) in record.fields["reason"]  # type: ignore[attr-defined]


def test_sockets_meant_for_another_process_are_left_alone() -> None:
    with listen("127.0.0.1", 0) as theirs:
        number = theirs.fileno()
        environment = {"LISTEN_PID": "1", "APPLIANCE_LISTEN_FDS": str(number)}
        listeners = Listeners(environment)
        with pytest.raises(OSError, match="in use"):
            listeners("127.0.0.1", theirs.getsockname()[1])
