"""Attacks as data: the bytes that are sent, and which answers fit.

An answer is seen as a few words:

    ended               A-ABORT, or the connection closed, within the time for silence
    rejected 1/1/7      A-ASSOCIATE-RJ: result, source, reason
    accepted 1:0 3:3    A-ASSOCIATE-AC: the result of each presentation context
    released            A-RELEASE-RP
    status C100         the status of a DIMSE response
    silent              none of these in time; never fits
"""

import fnmatch
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from tests.faults.datasets import EXPLICIT, IMPLICIT, MR_IMAGE, Instance
from tests.faults.wire import (
    ABORT,
    ASSOCIATE_AC,
    ASSOCIATE_RJ,
    OURS,
    P_DATA,
    RELEASE_RP,
    VERIFICATION,
    Broken,
    Contexts,
    Peer,
    command_pdu,
    contexts_for,
    fragments,
    read_command,
    store_command,
)

ENDED = ("ended",)
ANSWERED = ("ended", "rejected*", "accepted*")  # any of these, but in time
USUAL: Contexts = ((1, VERIFICATION, (IMPLICIT,)), (3, MR_IMAGE, (EXPLICIT,)))


@dataclass(frozen=True, slots=True)
class Attack:
    """What one connection does, and which answers fit (patterns)."""

    name: str
    expects: tuple[str, ...]
    send: tuple[bytes, ...]
    contexts: Contexts | None = None  # associate with these first; None: raw from the start
    instance: Instance | None = None  # what is to be kept if the answer is success
    closes: bool = False  # says that nothing more will come, by a half-closed connection

    def fits(self, answer: str) -> bool:
        """Return whether the answer is one that fits."""
        return any(fnmatch.fnmatchcase(answer, pattern) for pattern in self.expects)


def play(attack: Attack, port: int, seconds: float) -> str:
    """Attack; return the answer in words."""
    try:
        with Peer(port, seconds=seconds) as peer:
            if attack.contexts is not None:
                peer.associate(attack.contexts, calling=OURS)
            try:
                for part in attack.send:
                    peer.send(part)
            except Broken:
                pass  # it did not wait for the end of it: what it says comes next
            if attack.closes:
                peer.socket.shutdown(1)
            return _answer(peer)
    except TimeoutError:
        return "silent"
    except Broken as error:
        return "silent" if "timed out" in str(error) else "ended"
    except OSError:
        return "ended"


def _answer(peer: Peer) -> str:
    kind, body = peer.receive()
    if kind == P_DATA:
        answer = read_command(_command_of(body))
        return f"status {answer.status:04X}"
    if kind == ASSOCIATE_RJ:
        return f"rejected {body[1]}/{body[2]}/{body[3]}"
    if kind == ASSOCIATE_AC:
        return "accepted" + "".join(f" {n}:{result}" for n, result in _results(body))
    return {ABORT: "ended", RELEASE_RP: "released"}.get(kind, f"PDU {kind}")


def _command_of(body: bytes) -> bytes:
    command, position = b"", 0
    while position + 6 <= len(body):
        (length,) = struct.unpack_from(">I", body, position)
        command += body[position + 6 : position + 4 + length]
        position += 4 + length
    return command


def _results(body: bytes) -> Iterable[tuple[int, int]]:
    position = 68
    while position + 4 <= len(body):
        kind, length = struct.unpack_from(">BxH", body, position)
        if kind == 0x21:
            yield body[position + 4], body[position + 6]
        position += 4 + length


def storing(name: str, instance: Instance, *expects: str, message: int = 1) -> Attack:
    """Return the attack that stores this data set under the UIDs that `instance` says."""
    command = store_command(instance.sop_class_uid, instance.sop_instance_uid, message)
    send = (command_pdu(1, command), *fragments(1, instance.data, 16_000))
    return Attack(name, expects, send, contexts_for([instance]), instance)
