"""The busiest hour of a large hospital, in minutes, against the whole appliance.

    python -m benchmarks.day [--minutes M] [--share S]

The load is the peak hour that Guy's and St Thomas' published for its AIDE platform: 120 X-ray, 50
ultrasound, 30 CT and 25 MR examinations; sizes are those of real ones. Rooms send one examination
after another in an association each, at random times of the hour. `appliance run` does all of its
work meanwhile: index, decide, run a small pipeline on one series of each MR.

What must hold: nothing is refused, nothing lost (every instance is indexed and stored, one of each
examination is compared byte for byte), the queue drains, and the index is never more than 2 s
behind. Behind is the age of the oldest acknowledged instance that is not indexed: by what the
senders were told, looked up every 0.2 s, so what waits for its lasting name counts as well. The
oldest file in `spool/new` is told apart.
"""

import argparse
import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from os import SEEK_END
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.common import report
from benchmarks.instances import blank
from benchmarks.processes import peak_mb
from benchmarks.wire import Association, Blank, Instance, uid
from tests.appliance import Appliance, appliance, settings
from tests.counterparts import free_port, wait_until

_HOUR = 3600.0
_LOOK = 0.2  # seconds
_BEHIND = 2.0  # seconds that the index may be


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of examination: how many an hour, and what each is made of."""

    name: str
    exams: int
    rooms: int
    series: tuple[tuple[Blank, int], ...]  # with the number of instances


@dataclass(slots=True, kw_only=True)
class Exam:
    """One examination, and how far it has come."""

    kind: Kind
    number: int
    starts_at: float  # seconds after the beginning, compressed
    acknowledged: list[float] = field(default_factory=list)  # monotonic seconds
    max_length: int = 0  # of a PDU, as the receiver said
    failed: int = 0
    indexed: int = 0
    ended: bool = False

    @property
    def study_uid(self) -> str:
        """Return its Study Instance UID."""
        return uid(1, self.number, 0, 0).decode()

    def expected(self) -> set[str]:
        """Return the SOP Instance UIDs of all its instances."""
        return {
            uid(3, self.number, share, index).decode()
            for share, (_, count) in enumerate(self.kind.series)
            for index in range(1, count + 1)
        }

    def send(self, port: int) -> None:
        """Send it in one association, and note when each instance was acknowledged."""
        classes = {made.sop_class_uid for made, _ in self.kind.series}
        try:
            association = Association(port, sorted(classes), calling=self.kind.name.upper())
            self.max_length = association.max_length
            for share, (made, count) in enumerate(self.kind.series):
                instance = association.instance(made)
                study, series = uid(1, self.number, 0, 0), uid(2, self.number, share, 0)
                for index in range(1, count + 1):
                    instance.number(index, study, series, uid(3, self.number, share, index))
                    if association.store(instance):
                        self.failed += 1
                    else:
                        self.acknowledged.append(time.monotonic())
            association.release()
        except OSError as error:
            print(f"{self.kind.name}: {error}", file=sys.stderr, flush=True)
            self.failed += 1
        self.ended = True

    def behind(self, now: float) -> float:
        """Return for how many seconds the oldest instance that is not indexed is acknowledged."""
        waiting = self.acknowledged[self.indexed :]
        return now - waiting[0] if waiting else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--minutes", type=float, default=5.0, help="how long the hour takes")
    parser.add_argument("--share", type=float, default=1.0, help="of the examinations")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    good = run(given.out, minutes=given.minutes, share=given.share, seed=given.seed)
    sys.exit(0 if good else 1)


def run(out: Path, *, minutes: float = 5.0, share: float = 1.0, seed: int = 1) -> bool:
    """Replay the hour, print what was found, write `out`/day.json; return whether all held."""
    out.mkdir(parents=True, exist_ok=True)
    exams = timetable(minutes * 60, share, seed)
    size = sum(made.size * count for exam in exams for made, count in exam.kind.series)
    if shutil.disk_usage(out).free < 1.3 * size:
        raise OSError(f"{out} has no room for {size / 1e9:.0f} GB")
    with (
        tempfile.TemporaryDirectory(dir=out) as scratch,
        appliance(Path(scratch), _settings(Path(scratch))) as site,
    ):
        new = Path(scratch) / "data" / "spool" / "new"
        with _observed(site, exams, new) as seen:
            seconds = replay(exams, site.receiver_port)
            drained = _drain(site, exams)
        found = audit(site, exams)
    found |= {"drained_after_seconds": drained, "replay_seconds": seconds, **_summary(seen)}
    found |= {"exams": len(exams), "bytes": size, "minutes": minutes, "share": share}
    good = not (found["refused"] or found["lost"] or found["differ"] or found["jobs_not_done"])
    good = good and found["behind_worst_seconds"] <= _BEHIND
    for name, value in found.items():
        print(f"{name:24} {value}")
    print(f"day refused={found['refused']} lost={found['lost']} differ={found['differ']}")
    report("day", [], found | {"held": good}, out)
    return bool(good)


def kinds() -> tuple[Kind, ...]:
    """Return what comes in the peak hour."""
    t1 = blank("mr", SeriesDescription="t1 mprage")
    other = blank("mr", SeriesDescription="t2 tse", MRAcquisitionType="2D")
    chest = ((blank("cr"), 1), (blank("dx"), 1))
    return (
        Kind(name="xray", exams=120, rooms=6, series=chest),
        Kind(name="us", exams=50, rooms=8, series=((blank("us"), 40),)),
        Kind(name="ct", exams=30, rooms=3, series=((blank("ct"), 110),) * 3),
        Kind(name="mr", exams=25, rooms=4, series=((t1, 60), *((other, 60),) * 5)),
    )


def timetable(seconds: float, share: float, seed: int) -> list[Exam]:
    """Return the hour's examinations with their times, within `seconds`."""
    chance = random.Random(seed)  # noqa: S311
    exams = [
        Exam(kind=kind, number=0, starts_at=chance.uniform(0, seconds))
        for kind in kinds()
        for _ in range(max(1, round(kind.exams * share)))
    ]
    exams.sort(key=lambda exam: exam.starts_at)
    for number, exam in enumerate(exams, 1):
        exam.number = number
    return exams


def _settings(folder: Path) -> dict[str, Any]:
    made = settings(folder, free_port())
    made["receiver"] |= {"accept_unknown_peers": True, "max_associations_per_peer": 64}
    made["routes"] = [
        {
            "name": "t1",
            "when": {"Modality": "MR", "SeriesDescription": {"matches": "t1"}},
            "complete": {"quiet": "5 s", "at_most": "10 min", "then": "hold"},
            "run": ["bright-volume"],
            "backfill": "shadow",
        }
    ]
    return made


def replay(exams: Sequence[Exam], port: int) -> float:
    """Let every room send its examinations; return how many seconds that took."""
    began = time.monotonic()

    def work(list_of_room: Sequence[Exam]) -> None:
        for exam in list_of_room:
            time.sleep(max(0.0, began + exam.starts_at - time.monotonic()))
            exam.send(port)

    rooms = []
    for kind in {exam.kind.name: exam.kind for exam in exams}.values():
        theirs = [exam for exam in exams if exam.kind is kind or exam.kind.name == kind.name]
        rooms += [theirs[room :: kind.rooms] for room in range(kind.rooms)]
    threads = [threading.Thread(target=work, args=(room,)) for room in rooms]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.monotonic() - began


@dataclass(slots=True)
class Seen:
    """What was looked up while images came: seconds, and megabytes."""

    behind: list[float] = field(default_factory=list)
    oldest_new: list[float] = field(default_factory=list)
    peak_mb: float = 0.0


@contextmanager
def _observed(site: Appliance, exams: Sequence[Exam], new: Path) -> Iterator[Seen]:
    seen, done = Seen(), threading.Event()

    def look() -> None:
        while not done.wait(_LOOK):
            seen.behind.append(_behind(site, exams))
            seen.oldest_new.append(_oldest(new))
            seen.peak_mb = max(seen.peak_mb, peak_mb(site.process.pid))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        done.set()
        watcher.join()


def _behind(site: Appliance, exams: Sequence[Exam]) -> float:
    worst = 0.0
    for exam in exams:
        if exam.indexed < len(exam.acknowledged):
            row = site.store.studies.get(exam.study_uid)
            exam.indexed = row.instance_count if row else 0
            worst = max(worst, exam.behind(time.monotonic()))
    return worst


def _oldest(new: Path) -> float:
    oldest, now = 0.0, time.time()
    for path in new.iterdir():
        with suppress(FileNotFoundError):  # indexed just now
            oldest = max(oldest, now - path.stat().st_mtime)
    return oldest


def _drain(site: Appliance, exams: Sequence[Exam]) -> float:
    """Wait until everything is indexed and every job is over; return for how many seconds."""
    began = time.monotonic()
    with suppress(TimeoutError):
        wait_until(lambda: all(exam.indexed >= len(exam.acknowledged) for exam in exams), 120)
        wait_until(lambda: not _unfinished(site, exams), 120)
    return time.monotonic() - began


def _unfinished(site: Appliance, exams: Sequence[Exam]) -> int:
    """Return how many MR examinations have no job that is done."""
    wanted = [exam for exam in exams if exam.kind.name == "mr"]
    states = [{str(job.state) for job in site.store.jobs.of_study(e.study_uid)} for e in wanted]
    return sum(state != {"done"} for state in states)


def audit(site: Appliance, exams: Sequence[Exam]) -> dict[str, Any]:
    """Return what is refused, lost or not as it was sent."""
    images = Path(site.config.parent) / "data" / "spool" / "images"
    there = {path.stem for path in images.glob("??/*.dcm")}
    lost = differ = 0
    for exam in exams:
        rows = site.store.studies.instances(exam.study_uid)
        kept = {row.sop_instance_uid: row.spool_name for row in rows if row.spool_name in there}
        lost += len(exam.expected() - set(kept)) if not exam.failed else 0
        name = kept.get(uid(3, exam.number, 0, 1).decode())
        if name is not None:
            differ += not _is_as_sent(images / name[:2] / f"{name}.dcm", exam)
    return {
        "refused": sum(exam.failed for exam in exams),
        "acknowledged": sum(len(exam.acknowledged) for exam in exams),
        "lost": lost,
        "differ": differ,
        "jobs_not_done": _unfinished(site, exams),
    }


def _is_as_sent(path: Path, exam: Exam) -> bool:
    """Return whether the file ends with the data set of the first instance, as it was sent."""
    instance = Instance(exam.kind.series[0][0], 1, exam.max_length)
    instance.number(1, *(uid(kind, exam.number, 0, kind // 3) for kind in (1, 2, 3)))
    with path.open("rb") as file:
        file.seek(-instance.size, SEEK_END)
        return all(file.read(len(piece)) == piece for piece in instance.data_set())


def _summary(seen: Seen) -> dict[str, float]:
    ordered = sorted(seen.behind) or [0.0]
    return {
        "behind_worst_seconds": round(ordered[-1], 2),
        "behind_p99_seconds": round(ordered[int(len(ordered) * 0.99)], 2),
        "behind_median_seconds": round(median(ordered), 2),
        "oldest_new_worst_seconds": round(max(seen.oldest_new, default=0.0), 2),
        "peak_mb_all_roles": round(seen.peak_mb),
    }


if __name__ == "__main__":
    main()
