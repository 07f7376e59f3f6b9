"""Power loss, apart from kill: the receiver runs under strace, and a model disk forgets.

At each success that the receiver sends, the bytes of that instance must be safe on the model
disk under a name that is safe. And at points between, the disk as a power cut would leave it is
laid out again, a receiver is started on it, and everything acknowledged until then must be there.
"""

import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.counterparts import wait_until
from tests.faults import trace
from tests.faults.datasets import Instance
from tests.faults.disk import Inode, files, remains
from tests.faults.kernel import Kernel
from tests.faults.site import ROOT, Site, site_settings
from tests.faults.trace import Call
from tests.faults.truth import Finding, SpoolReader, wait_for_rows
from tests.faults.wire import P_DATA, RELEASE_RP, Broken, is_well, read_command, send_all

_KEEPING = (0x8001, 0x8140)  # responses to C-STORE and N-CREATE


@dataclass(frozen=True, slots=True)
class Answered:
    """The moment at which a success left, and what a power cut at that moment would leave."""

    sop_instance_uid: str
    is_safe: bool
    left: Mapping[str, bytes | None]
    left_and_some: Mapping[str, bytes | None]


@dataclass(slots=True)
class Verdict:
    """What the trace of a run shows."""

    answers: list[Answered] = field(default_factory=list)
    unsafe_at_release: list[str] = field(default_factory=list)
    matches_disk: bool = False  # the model agrees with the real files: the trace misses nothing

    def unsafe(self) -> list[str]:
        """Return the instances that were acknowledged before they were safe."""
        return [one.sop_instance_uid for one in self.answers if not one.is_safe]


def record(folder: Path, instances: Sequence[Sequence[Instance]], **receiver: object) -> Path:
    """Let a receiver under strace take these, one association each at one time.

    Returns the trace. Raises AssertionError where something was not taken.
    """
    data = site_settings(folder, **receiver)
    (folder / "data").mkdir(exist_ok=True)  # what was there before is safe already
    port = int(data["receiver"]["listen"].rpartition(":")[2])
    with _traced("receive", folder, data) as process:
        wait_until(lambda: is_well(port) or process.poll() is not None, 60)
        assert process.poll() is None, (folder / "traced.log").read_text()
        _send_at_once(port, instances)
    return folder / "trace"


def record_indexing(site: Site, instances: Sequence[Instance]) -> Path:
    """Let an orchestrator under strace index what lies in the spool of a site without roles."""
    with _traced("orchestrate", site.folder, site.data):
        finding = wait_for_rows(site.store, instances, 60)
        assert not finding, (site.folder / "traced.log").read_text()
        wait_until(lambda: not list((site.spool / "new").iterdir()))
    return site.folder / "trace"


@contextmanager
def _traced(role: str, folder: Path, data: Mapping[str, Any]) -> Iterator[subprocess.Popen[bytes]]:
    config = folder / "appliance.yaml"
    config.write_text(yaml.safe_dump(data))
    program = [sys.executable, "-m", "appliance", role, "--config", str(config)]
    with (folder / "traced.log").open("wb") as lines:
        process = subprocess.Popen(
            trace.command(program, folder / "trace"), cwd=ROOT, stdout=lines, stderr=lines
        )
    try:
        yield process
    finally:
        _end(process)


def _send_at_once(port: int, instances: Sequence[Sequence[Instance]]) -> None:
    statuses: list[int] = []

    def send(some: Sequence[Instance]) -> None:
        try:
            statuses.extend(send_all(port, some))
        except Broken:
            statuses.append(-1)

    threads = [threading.Thread(target=send, args=(some,)) for some in instances]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [0] * sum(map(len, instances))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Stop what strace runs; strace ends with it."""
    if process.poll() is None:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait(10)


def judge(output: Path, root: Path, instances: Sequence[Instance], rng: random.Random) -> Verdict:
    """Follow the trace; return what was safe at each success."""
    verdict = Verdict()
    data = {one.sop_instance_uid: one.data for one in instances}

    def is_safe(uid: str) -> bool:
        return any(data[uid] in content for _, content in files(kernel.root, safe=True))

    def sent(message: bytes) -> None:
        for uid in _successes(message):
            left, more = remains(kernel.root), remains(kernel.root, rng)
            verdict.answers.append(Answered(uid, is_safe(uid), left, more))
        if message[:1] == bytes([RELEASE_RP]):
            answered = [one.sop_instance_uid for one in verdict.answers]
            verdict.unsafe_at_release += [uid for uid in answered if not is_safe(uid)]

    kernel = Kernel(str(root), sent)
    trace.replay(output, kernel.begin, kernel.end)
    real = {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}
    verdict.matches_disk = real == dict(files(kernel.root, safe=False))
    return verdict


def lost_while_handing_over(
    output: Path, spool: Path, before: Inode, instances: Sequence[Instance], rng: random.Random
) -> tuple[int, set[str]]:
    """Cut the power after each change of the spool's names and each sync.

    `before` is the spool as it was. Returns how many cuts there were, and what was lost in any.
    """
    lost: set[str] = set()
    cuts = 0
    kernel = Kernel(str(spool), lambda _: None, before)

    def end(call: Call) -> None:
        nonlocal cuts
        changes = kernel.root.changes()
        kernel.end(call)
        if kernel.root.changes() == changes:
            return
        cuts += 1
        for left in (remains(kernel.root), remains(kernel.root, rng)):
            kept = [content for content in left.values() if content is not None]
            lost.update(
                one.sop_instance_uid
                for one in instances
                if not any(content.endswith(one.data) for content in kept)
            )

    trace.replay(output, kernel.begin, end)
    return cuts, lost


def _successes(message: bytes) -> list[str]:
    """Return the SOP Instance UIDs of what was answered with success."""
    found, position = [], 0
    while position + 12 <= len(message) and message[position] == P_DATA:
        (length,) = struct.unpack_from(">I", message, position + 2)
        try:
            answer = read_command(message[position + 12 : position + 6 + length])
        except Broken:
            break
        if answer.field in _KEEPING and answer.status == 0:
            found.append(answer.sop_instance_uid)
        position += 6 + length
    return found


def lay_out(left: Mapping[str, bytes | None], data_dir: Path) -> None:
    """Write what a power cut left as the data folder of a site."""
    shutil.rmtree(data_dir, ignore_errors=True)
    data_dir.mkdir(parents=True)
    for name, content in left.items():
        path = data_dir / name
        if content is None:
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def recovers(site: Site, left: Mapping[str, bytes | None], promised: Sequence[Instance]) -> Finding:
    """Start a receiver on what a power cut left; return which promised instances are not there.

    `site` is one whose roles do not run. Raises AssertionError where the receiver does not start.
    """
    lay_out(left, Path(site.data["appliance"]["data_dir"]))
    site.start("receive")
    try:
        return SpoolReader(site.spool).wait_for(promised)
    finally:
        site.stop("receive")
