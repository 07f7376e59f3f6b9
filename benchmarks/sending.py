"""Sending to a receiver: by our own sender, or by DCMTK's storescu."""

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.wire import Association, Blank, uid
from tests.counterparts import HOST, tool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What a sender says. Times are seconds of the monotonic clock."""

    began: float
    ended: float  # every release was answered
    cpu_seconds: float  # of the senders
    slowest_seconds: float  # one C-STORE; 0 where the sender does not say


def shares(count: int, associations: int) -> list[int]:
    """Return how many of `count` instances each association sends."""
    return [count // associations + (i < count % associations) for i in range(associations)]


def own(port: int, blank: Blank, counts: Sequence[int]) -> Sent:
    """Send so many instances in each association; all start when every association is open."""
    run = secrets.randbelow(10**10)
    senders = [_start(port, blank, run, share, count) for share, count in enumerate(counts)]
    try:
        for sender in senders:
            _line(sender)
        for sender in senders:
            _say(sender, "go\n")
        answers = [json.loads(_line(sender)) for sender in senders]
    finally:
        for sender in senders:
            sender.kill()
            sender.communicate()
    if refused := [text for answer in answers for text in answer["refused"]]:
        raise RuntimeError(f"{len(refused)} instances were refused: {', '.join(refused[:5])}")
    return Sent(
        began=min(answer["began"] for answer in answers),
        ended=max(answer["ended"] for answer in answers),
        cpu_seconds=sum(answer["cpu_seconds"] for answer in answers),
        slowest_seconds=max(answer["slowest_seconds"] for answer in answers),
    )


def _start(port: int, blank: Blank, run: int, share: int, count: int) -> subprocess.Popen[str]:
    order = {"port": port, "blank": blank.to_json(), "run": run, "share": share, "count": count}
    sender = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.sender"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    _say(sender, json.dumps(order) + "\n")
    return sender


def _say(sender: subprocess.Popen[str], line: str) -> None:
    assert sender.stdin is not None
    sender.stdin.write(line)
    sender.stdin.flush()


def _line(sender: subprocess.Popen[str]) -> str:
    assert sender.stdout is not None
    line = sender.stdout.readline()
    if not line:
        raise RuntimeError("a sender failed")
    return line


def storescu(port: int, folders: Sequence[Path]) -> Sent:
    """Send each folder in an association of its own, with DCMTK. Its start is part of the time."""
    options = ["-aec", "APPLIANCE", "--propose-little", "+sd", HOST, str(port)]
    began = time.monotonic()
    senders = [
        subprocess.Popen([tool("storescu"), *options, str(folder)], stdout=subprocess.DEVNULL)
        for folder in folders
    ]
    cpu, codes = 0.0, []
    for sender in senders:
        _, status, usage = os.wait4(sender.pid, 0)
        sender.returncode = os.waitstatus_to_exitcode(status)
        codes.append(sender.returncode)
        cpu += usage.ru_utime + usage.ru_stime
    if any(codes):
        raise RuntimeError(f"storescu ended with {codes}")
    return Sent(began=began, ended=time.monotonic(), cpu_seconds=cpu, slowest_seconds=0.0)


def warm_up(port: int, blank: Blank, count: int) -> None:
    """Send a few instances that are not measured."""
    run = secrets.randbelow(10**10)
    association = Association(port, [blank.sop_class_uid])
    instance = association.instance(blank)
    for index in range(1, count + 1):
        instance.number(index, uid(1, run, 0, 0), uid(2, run, 0, 0), uid(3, run, 0, index))
        if status := association.store(instance):
            raise RuntimeError(f"refused with {status:04X}")
    association.release()
