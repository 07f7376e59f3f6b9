"""Kill -9 while senders send, by seed: what was acknowledged is there, bit for bit, once.

A sender is a modality: it knows what was acknowledged, comes back after a broken association
and sends again what was not (or, as some do, all of it), until everything was. A round is over
when its senders are content and the spool was compared with what they sent.
"""

import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from appliance.core.crashpoints import CrashPoint
from tests.faults.datasets import Instance, study_of
from tests.faults.site import Site
from tests.faults.truth import Finding, SpoolReader, wait_for_rows
from tests.faults.wire import Broken, Peer, contexts_for

PATIENCE = 60.0  # seconds after which a sender that was not served counts as stuck
_ELSEWHERE = ("job.", "child.", "done.", "delivery.")  # of roles that need a PACS and a model
NEARBY = tuple(point for point in CrashPoint if not point.value.startswith(_ELSEWHERE))
"""The points that a receiver and an orchestrator come to."""

VICTIMS = (
    "one process of the receiver",
    "the receiver's first process",
    "the receiver",
    "the orchestrator",
    "all at once",
)


@dataclass(slots=True)
class Sender:
    """One modality with one study."""

    port: int
    instances: Sequence[Instance]
    sends_all_again: bool
    fragment: int
    acknowledged: dict[str, Instance] = field(default_factory=dict)
    refused: list[int] = field(default_factory=list)
    breaks: int = 0
    content: bool = False

    def run(self) -> None:
        """Send until all is acknowledged, or for too long."""
        deadline = time.monotonic() + PATIENCE
        while not self.content and time.monotonic() < deadline:
            try:
                self._associate_and_send()
            except Broken:
                self.breaks += 1
                time.sleep(0.02)

    def _associate_and_send(self) -> None:
        waiting = [
            one
            for one in self.instances
            if self.sends_all_again or one.sop_instance_uid not in self.acknowledged
        ]
        with Peer(self.port) as peer:
            peer.associate(contexts_for(self.instances))
            for one in waiting:
                status = peer.store(one, fragment=self.fragment)
                if status == 0:
                    self.acknowledged[one.sop_instance_uid] = one
                else:
                    self.refused.append(status)
            if len(self.acknowledged) == len(self.instances):
                self.content = True
                peer.release()


@dataclass(slots=True)
class Tally:
    """What all rounds together found."""

    rounds: int = 0
    kills: int = 0
    points: dict[str, int] = field(default_factory=dict)
    sent: int = 0
    acknowledged_before_kill: int = 0
    breaks: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    crashed: list[str] = field(default_factory=list)  # what should not have ended, or not served

    def add(self, finding: Finding, where: str) -> None:
        """Count what is wrong."""
        self.lost += [f"{where}: {uid}" for uid in finding.lost]
        self.doubled += [f"{where}: {uid}" for uid in finding.doubled]

    def verdict(self) -> str:
        """Return the last line."""
        return f"lost {len(self.lost)}, doubled {len(self.doubled)}, crashed {len(self.crashed)}"


class Rounds:
    """Plays rounds on one site; everything that they sent stays to be compared at the end."""

    def __init__(self, site: Site, tally: Tally) -> None:
        self._site = site
        self._tally = tally
        self._reader = SpoolReader(site.spool)
        self._sent: list[Instance] = []

    def play(self, seed: int, point: CrashPoint | None = None) -> None:
        """Play one round: kill at the named point, or whom and when the seed says."""
        rng = random.Random(seed)
        senders = [
            Sender(
                port=self._site.port,
                instances=study_of(rng, rng.randrange(5, 15)),
                sends_all_again=rng.random() < 0.3,
                fragment=rng.choice((1000, 16_000, 130_000)),
            )
            for _ in range(rng.randrange(1, 4))
        ]
        where = f"round {seed}" + (f" at {point.value}" if point else "")
        if point is not None:
            (self._site.crash_folder / point.value).touch()
        threads = [threading.Thread(target=sender.run) for sender in senders]
        for thread in threads:
            thread.start()
        if point is None:
            self._kill_some_time(rng, senders)
        for thread in threads:
            thread.join()
        self._compare(senders, where)
        if point is not None:
            self._see_that_it_was_reached(point, where)

    def _kill_some_time(self, rng: random.Random, senders: Sequence[Sender]) -> None:
        enough = rng.randrange(sum(len(sender.instances) for sender in senders))
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if sum(len(sender.acknowledged) for sender in senders) >= enough:
                break
            time.sleep(0.001)
        time.sleep(rng.random() * 0.02)  # into the middle of a data set
        self._kill(rng, senders)
        if rng.random() < 0.3:  # again, while it is starting
            time.sleep(rng.random() * 0.3)
            self._kill(rng, senders)

    def _kill(self, rng: random.Random, senders: Sequence[Sender]) -> None:
        before = sum(len(sender.acknowledged) for sender in senders)
        receiver = self._site.roles["receive"]
        match rng.choice(VICTIMS):
            case "one process of the receiver":
                receiver.kill_follower(rng)
            case "the receiver's first process":
                receiver.kill_leader()
            case "the receiver":
                receiver.kill()
            case "the orchestrator":
                self._site.kill("orchestrate")
            case _:
                self._site.kill(*self._site.roles)
        self._tally.kills += 1
        self._tally.acknowledged_before_kill += before

    def _compare(self, senders: Sequence[Sender], where: str) -> None:
        tally = self._tally
        tally.rounds += 1
        for sender in senders:
            tally.sent += len(sender.instances)
            tally.breaks += sender.breaks
            if not sender.content or sender.refused:
                codes = ", ".join(f"{status:04X}" for status in set(sender.refused))
                tally.crashed.append(f"{where}: a sender was not served ({codes or 'no answer'})")
            self._sent += sender.acknowledged.values()
            tally.add(self._reader.wait_for(sender.acknowledged.values()), where)

    def _see_that_it_was_reached(self, point: CrashPoint, where: str) -> None:
        armed = self._site.crash_folder / point.value
        deadline = time.monotonic() + 20
        while armed.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        if armed.exists():
            armed.unlink()
            self._tally.crashed.append(f"{where}: never reached")
        else:
            self._tally.kills += 1
            self._tally.points[point.value] = self._tally.points.get(point.value, 0) + 1

    def finish(self) -> None:
        """Compare all that was ever acknowledged with the spool and with the index."""
        self._tally.add(self._reader.wait_for(self._sent), "spool at the end")
        if "orchestrate" in self._site.roles:
            self._tally.add(wait_for_rows(self._site.store, self._sent), "index at the end")
        self._tally.crashed += self._site.strange_lines()
