"""`make faults`: all of it, at length. Prints what was done, and last what was lost.

python -m tests.faults [--rounds 200] [--seed 0] [--fuzz-seconds 600] [--data FOLDER] [--only PART]

A part that fails does not stop the others; the exit code is 0 only if all went well.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from appliance.core.crashpoints import CrashPoint
from tests.appliance import appliance, settings
from tests.counterparts import free_port, orthanc, storescu
from tests.faults import hostile, trace
from tests.faults.datasets import study_of
from tests.faults.kills import NEARBY, Rounds, Tally
from tests.faults.powerloss import judge, record, recovers
from tests.faults.site import ROOT, Nursery, site
from tests.system.phantom import phantom_series
from tests.system.phantom import study_of as study_uid_of
from tests.system.test_whole_way import arrives_once

TIMES = 5  # at each named point
FAR = tuple(point for point in CrashPoint if point not in NEARBY)
TRACES = 3


def main() -> int:
    """Run every part; return the exit code."""
    options = _options()
    total = Tally()
    with tempfile.TemporaryDirectory(prefix="faults-") as scratch:
        for part in _parts():
            if options.only not in (None, part.__name__):
                continue
            name = part.__name__.replace("_", " ")
            folder = Path(scratch) / part.__name__
            folder.mkdir()
            began = time.monotonic()
            try:
                said = part(options, folder, total)
            except Exception as error:  # noqa: BLE001 — the next part is of use all the same
                said = f"failed: {type(error).__name__}: {str(error)[:2000]}"
                total.crashed.append(f"{name}: {said}")
            _say(f"{name}: {said} ({time.monotonic() - began:.0f} s)")
    for line in (*total.lost, *total.doubled, *total.crashed):
        _say(f"  {line}")
    _say(total.verdict())
    return 0 if total.verdict() == Tally().verdict() else 1


def _parts() -> tuple[Callable[[argparse.Namespace, Path, Tally], str], ...]:
    return (
        kills_of_receiver_and_orchestrator,
        kills_of_the_whole_appliance,
        power_loss,
        attacks,
        hard_times,
        fuzzing,
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("--rounds", type=int, default=200, help="kills in all, about")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fuzz-seconds", type=int, default=600)
    parser.add_argument("--data", type=Path, help="a folder of DICOM files of others to send too")
    parser.add_argument("--only", choices=[part.__name__ for part in _parts()], help="one part")
    return parser.parse_args()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def kills_of_receiver_and_orchestrator(
    options: argparse.Namespace, folder: Path, total: Tally
) -> str:
    """Named points, then the rest at random; by seed, so that a round can be played again."""
    tally = Tally()
    points = [point for point in NEARBY for _ in range(TIMES)]
    at_random = max(options.rounds - TIMES * len(CrashPoint), 0)
    with site(folder) as it:
        rounds = Rounds(it, tally)
        for number, point in enumerate([*points, *[None] * at_random]):
            rounds.play(1000 * options.seed + number, point)
        rounds.finish()
    _add(total, tally)
    return (
        f"{tally.rounds} rounds, {tally.kills} kills, {sum(tally.points.values())} of them at "
        f"{len(tally.points)} named points, {tally.sent} instances, "
        f"{tally.acknowledged_before_kill} acknowledged before a kill at random, "
        f"{tally.breaks} broken associations, {tally.verdict()}"
    )


def _add(total: Tally, tally: Tally) -> None:
    total.lost += tally.lost
    total.doubled += tally.doubled
    total.crashed += tally.crashed


def kills_of_the_whole_appliance(_: argparse.Namespace, folder: Path, total: Tally) -> str:
    """All roles, a PACS: each point from the queue to the delivery."""
    port, kills = free_port(), 0
    data = settings(folder, port)
    receiver = int(data["receiver"]["listen"].rpartition(":")[2])
    with (
        orthanc(folder, modalities={"APPLIANCE": receiver}, port=port) as pacs,
        appliance(folder, data) as it,
    ):
        for number, point in enumerate(point for point in FAR for _ in range(TIMES)):
            paths = phantom_series(folder / f"{number}")
            armed = it.crash_folder / point.value
            armed.touch()
            storescu(it.receiver_port, paths)
            try:
                arrives_once(pacs, it, paths)
            except AssertionError as error:
                total.lost.append(f"{study_uid_of(paths)} at {point.value}: {str(error)[:500]}")
            if armed.exists():
                total.crashed.append(f"{point.value}: never reached")
                armed.unlink()
            else:
                kills += 1
    return f"{kills} kills at {len(FAR)} named points; each study arrived whole, once"


def power_loss(options: argparse.Namespace, folder: Path, total: Tally) -> str:
    """Traces of sending, then a power cut at every answer of each."""
    if not trace.is_allowed():
        return "not done: this machine forbids tracing"
    nursery = Nursery()
    try:
        return _cut_the_power(options, folder, total, nursery)
    finally:
        nursery.close()


def _cut_the_power(
    options: argparse.Namespace, folder: Path, total: Tally, nursery: Nursery
) -> str:
    cuts, answers = 0, 0
    for number in range(TRACES):
        rng = random.Random(options.seed + number)
        place = folder / f"{number}"
        place.mkdir()
        sent = [study_of(rng, 6), study_of(rng, 6), study_of(rng, 3, largest=3_000_000)]
        everything = [one for study in sent for one in study]
        verdict = judge(record(place, sent), place / "data", everything, rng)
        total.lost += [f"acknowledged before it was safe: {uid}" for uid in verdict.unsafe()]
        if not verdict.matches_disk:
            total.crashed.append("the trace misses something that was written")
        by_uid = {one.sop_instance_uid: one for one in everything}
        for step, answered in enumerate(verdict.answers):
            answers += 1
            promised = [by_uid[a.sop_instance_uid] for a in verdict.answers[: step + 1]]
            for left in (answered.left, answered.left_and_some):
                cuts += 1
                with site(place / f"cut-{cuts}", roles=(), nursery=nursery) as it:
                    total.add(recovers(it, left, promised), f"power cut after {step}")
    return f"{answers} successes, each safe before it left; {cuts} power cuts laid out and started"


def attacks(_: argparse.Namespace, folder: Path, total: Tally) -> str:
    """The corpus, three times: memory that leaks grows."""
    corpus = hostile.whole_corpus()
    with site(folder, **hostile.LIMITS) as it:
        damages = [hostile.attack(it, corpus) for _ in range(3)]
    for damage in damages:
        total.lost += damage.lost
        total.doubled += damage.doubled
        total.crashed += [
            *damage.misfits,
            *damage.harmed,
            *damage.crashed,
            *damage.escaped,
            *damage.silent_quarantine,
        ]
        if damage.growth > hostile.GROWTH:
            total.crashed.append(f"the receiver grew by {damage.growth >> 20} MiB")
    grown = ", ".join(f"{damage.growth / 2**20:.0f}" for damage in damages)
    return f"{len(corpus)} attacks, 3 times; the receiver grew by {grown} MiB"


def hard_times(options: argparse.Namespace, _: Path, total: Tally) -> str:
    """The tests of full disks, idle peers and bits, at length."""
    names = ("test_hard_times", "test_idle_peers", "test_bit_for_bit", "test_power_loss")
    environment = os.environ | {"APPLIANCE_FAULTS": "long"}
    if options.data:
        environment["APPLIANCE_FAULTS_DATA"] = str(options.data.resolve())
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *(f"tests/faults/{name}.py" for name in names)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        total.crashed.append(f"hard times: {done.stdout[-3000:]}")
    return done.stdout.strip().splitlines()[-1]


def fuzzing(options: argparse.Namespace, folder: Path, total: Tally) -> str:
    """Bytes that nobody thought of, for ten minutes."""
    program = [sys.executable, "-m", "tests.faults.fuzz", str(options.fuzz_seconds)]
    log = folder / "fuzz.log"
    with log.open("wb") as output:
        done = subprocess.run(program, cwd=ROOT, stdout=output, stderr=output, check=False)
    text = log.read_text(errors="replace")
    if done.returncode != 0:
        total.crashed.append(f"fuzzing: {text[-3000:]}")
    wanted = ("stat::number_of_executed_units", "by chance", "Done ")
    told = [line for line in text.splitlines() if line.startswith(wanted)]
    return f"{options.fuzz_seconds} s; " + "; ".join(told)


if __name__ == "__main__":
    sys.exit(main())
