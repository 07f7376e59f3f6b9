"""What reads a stranger's bytes first, as functions of bytes: for the fuzzers.

Each may say only what it is documented to say, in bounded time; anything else is raised.
"""

import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from scp.command import ProtocolViolation, parse
from scp.durability import Durability
from scp.head import MalformedDataSet, identify
from scp.session import House, Session
from scp.stream import ConnectionEnded, Stream
from tests.faults import corpus_associate, corpus_message
from tests.faults.corpus import USUAL
from tests.faults.corpus_data import Maker
from tests.faults.datasets import BIG_ENDIAN, EXPLICIT, IMPLICIT, MR_IMAGE
from tests.faults.wire import (
    P_DATA,
    associate_rq,
    command_pdu,
    echo_command,
    pdu,
    pdv,
    store_command,
)
from tests.receiving import receiver

LONGEST = 1.0  # seconds of CPU for one input: a reader that takes more can be held up
SYNTAXES = (IMPLICIT, EXPLICIT, BIG_ENDIAN, "1.2.840.10008.1.2.4.70")
COMMAND, HEAD, RAW, ASSOCIATED, STORING = range(5)
_RQ = associate_rq(USUAL)
_STORE = command_pdu(3, store_command(MR_IMAGE, "1.2.3"))


_PIECE = 7  # bytes that come together: shorter than any header


class Script(Stream):
    """A connection on which these bytes come, in pieces, and then nothing more."""

    def __init__(self, data: bytes) -> None:
        with socket.socket() as unused:
            super().__init__(unused, 1.0, time.monotonic)
        self._rest = memoryview(data)
        self.sent = bytearray()

    def some(self, view: memoryview) -> int:
        if not self._rest:
            raise ConnectionEnded
        count = min(len(view), len(self._rest), _PIECE)
        view[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def fill(self, view: memoryview) -> None:
        while view:
            view = view[self.some(view) :]

    def send(self, data: bytes) -> None:
        self.sent += data

    def set_timeout(self, _: float) -> None:
        """Nobody waits here."""

    def wait_for_end(self, _: float) -> None:
        """It has ended."""


@contextmanager
def house(folder: Path) -> Iterator[House]:
    """Lend what the sessions of a receiver share; what they take is kept in `folder`."""
    with receiver(folder, durability=Durability.NONE) as running:
        yield running.receiver._house


def read(data: bytes, shared: House) -> None:
    """Let the reader that the first byte names read the rest."""
    kind, rest = (data[0] % 5 if data else 0), data[1:]
    began = time.thread_time()  # the disk and other processes may take their time
    _read(kind, rest, shared)
    took = time.thread_time() - began
    assert took < LONGEST, f"{took:.2f} s for {data.hex()}"


def _read(kind: int, data: bytes, shared: House) -> None:
    if kind == COMMAND:
        _quietly(lambda: parse(data))
    elif kind == HEAD and data:
        _quietly(lambda: identify(data, 1, SYNTAXES[data[0] % 4]))
    else:
        before = {RAW: b"", ASSOCIATED: _RQ}.get(kind, _RQ + _STORE)
        after = pdu(P_DATA, pdv(3, 2, data)) if kind == STORING else data
        Session(shared, Script(before + after), "127.0.0.1").run()


def _quietly(reading: Callable[[], object]) -> None:
    try:
        reading()
    except (ProtocolViolation, MalformedDataSet):
        return


def seeds() -> Iterator[bytes]:
    """Yield good inputs and the attacks of the corpus: what a fuzzer starts from."""
    yield bytes([COMMAND]) + store_command(MR_IMAGE, "1.2.3")
    yield bytes([COMMAND]) + echo_command()
    for number, syntax in enumerate(SYNTAXES):
        good = Maker(number).good(syntax, size=64).data
        yield bytes([HEAD, number]) + good
        yield bytes([STORING]) + good
    for attack in (*corpus_associate.all_attacks(), *corpus_message.all_attacks(Maker(2).good())):
        data = b"".join(attack.send)
        if len(data) < 20_000:
            yield bytes([RAW if attack.contexts is None else ASSOCIATED]) + data


def wounded(rng: random.Random, seed: bytes) -> bytes:
    """Return the seed with some bytes changed, cut, repeated or put in; its first byte stays."""
    data = bytearray(seed)
    for _ in range(rng.randrange(1, 8)):
        at = rng.randrange(1, len(data)) if len(data) > 1 else len(data)
        what = rng.randrange(5)
        if what == 0 and at < len(data):
            data[at] = rng.randrange(256)
        elif what == 1:
            del data[at : at + rng.randrange(1, 60)]
        elif what == 2:
            data[at:at] = rng.randbytes(rng.randrange(1, 20))
        elif what == 3:
            data[at:at] = data[at : at + rng.randrange(1, 200)]
        else:
            data[at : at + 4] = rng.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"))
    return bytes(data)
