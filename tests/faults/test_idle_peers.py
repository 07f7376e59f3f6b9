"""Peers that hold a connection and give little: their time is bounded, others are served."""

import random
import resource
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.counterparts import HOST
from tests.faults.datasets import study_of
from tests.faults.site import Nursery, Site, site
from tests.faults.wire import (
    P_DATA,
    Broken,
    Peer,
    associate_rq,
    command_pdu,
    contexts_for,
    echo_command,
    is_well,
    pdu,
    pdv,
    send_all,
    store_command,
)

SILENCE = 2.0  # seconds
IN_TIME = 4 * SILENCE + 4.0
STUDY = study_of(random.Random(1), 2)
GROWTH = 64 * 1024**2
KNOWN = [{"ae_title": "STORESCU", "address": "127.0.0.0/24"}]


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("idle")
    limits = {"max_associations": 20, "max_associations_per_peer": 10, "peers": KNOWN}
    with site(folder, nursery=nursery, roles=("receive",), network_timeout="2 s", **limits) as it:
        yield it
        assert it.strange_lines() == []
        assert it.roles["receive"].starts == 1


def seconds_until_ended(
    peer: Peer, keep_on: Callable[[], bytes] = lambda: b"", pause: float = 0.1
) -> float:
    """Return how long the receiver bears the peer that goes on in this way."""
    began = time.monotonic()
    peer.socket.settimeout(pause)
    while time.monotonic() - began < 3 * IN_TIME:
        try:
            peer.socket.sendall(keep_on())
            if not peer.socket.recv(4096):
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - began


def one_byte_of(data: bytes) -> Callable[[], bytes]:
    position = iter(range(len(data)))
    return lambda: data[(at := next(position)) : at + 1]


def associated(port: int) -> Peer:
    peer = Peer(port)
    peer.associate(contexts_for(STUDY))
    return peer


def announced(port: int) -> Peer:
    peer = associated(port)
    peer.send(command_pdu(1, store_command(STUDY[0].sop_class_uid, STUDY[0].sop_instance_uid)))
    return peer


def test_who_stops_in_the_middle_is_ended_and_nobody_waits_for_it(busy: Site) -> None:
    data = pdu(P_DATA, pdv(1, 0, bytes(5000)))
    halted: list[tuple[str, Peer]] = [
        ("says nothing at all", Peer(busy.port)),
        ("stops in the middle of its request", Peer(busy.port)),
        ("associates and never releases", associated(busy.port)),
        ("stops in the middle of a PDU", announced(busy.port)),
        ("stops in a PDU's header", announced(busy.port)),
        ("stops between two PDUs", announced(busy.port)),
    ]
    halted[1][1].send(associate_rq(contexts_for(STUDY))[:100])
    halted[3][1].send(data[:700])
    halted[4][1].send(data[:3])
    halted[5][1].send(data)
    with ExitStack() as ends:
        for _, peer in halted:
            ends.enter_context(peer)
        assert send_all(busy.port, STUDY) == [0, 0]
        for what, peer in halted:
            assert seconds_until_ended(peer) < IN_TIME, what
    assert send_all(busy.port, STUDY) == [0, 0]


def test_who_sends_a_byte_at_a_time_holds_no_place(busy: Site) -> None:
    request = associate_rq(contexts_for(STUDY))
    message = pdu(P_DATA, pdv(1, 0, bytes(60_000)))
    small = pdu(P_DATA, pdv(1, 0, b"\0"))
    trickles: list[tuple[Peer, Callable[[], bytes], float]] = [
        (Peer(busy.port), one_byte_of(request), 0.1),
        (Peer(busy.port), one_byte_of(request), 0.9 * SILENCE),
        (announced(busy.port), one_byte_of(message), 0.1),
        (announced(busy.port), one_byte_of(message), 0.9 * SILENCE),
        (announced(busy.port), lambda: small, 0.1),
    ]
    with ThreadPoolExecutor(len(trickles)) as pool:
        borne = list(pool.map(lambda one: seconds_until_ended(*one), trickles))
        assert send_all(busy.port, STUDY) == [0, 0]
    for peer, _, _ in trickles:
        peer.socket.close()
    assert max(borne) < IN_TIME, borne


def test_who_reads_no_answers_holds_nobody_up(busy: Site) -> None:
    """Requests without end, whose answers fill the buffers between us.

    As a rule the receiver ends it at its timeout. A kernel that lets an answer through now and
    then makes a slow reader of it, which keeps its one place: others must not notice.
    """
    echoes = command_pdu(1, echo_command()) * 100
    with Peer(busy.port) as peer:
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        peer.associate([(1, "1.2.840.10008.1.1", ("1.2.840.10008.1.2",))])
        peer.socket.settimeout(IN_TIME)
        before = busy.resident()
        with pytest.raises(Broken):
            while True:
                peer.send(echoes)
        assert busy.resident() - before < GROWTH
        assert send_all(busy.port, STUDY) == [0, 0]


def test_thousands_of_silent_connections_leave_room_for_a_good_peer(
    busy: Site, is_long: bool
) -> None:
    count = 10_000 if is_long else 800
    wanted, (soft, hard) = count + 500, resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
    before = busy.resident()
    with ExitStack() as silent:
        for number in range(count):
            one = socket.socket()
            silent.enter_context(one)
            one.bind((f"127.0.1.{number % 50 + 1}", 0))
            one.setblocking(False)
            one.connect_ex((HOST, busy.port))
            if number % 100 == 99:
                assert is_well(busy.port, address="127.0.0.9")
        assert busy.resident() - before < GROWTH
