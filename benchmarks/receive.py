"""Instances received a second, beside DCMTK's storescp, Orthanc and stock pynetdicom.

    python -m benchmarks.receive [--quick] [--rounds N] [--receivers NAME,…] [--workloads NAME,…]

Every receiver in turn, in rounds, so that what else the machine does meets all alike; each started
fresh on loopback in a folder of the same file system, after everything dirty was written back, and
emptied afterwards. The order turns from round to round. Senders:

- `own` (wire.py): encoded in memory, TCP_NODELAY, waits for each answer as every modality does; one
  process for each association, all starting when every association is open. From there to the
  last A-RELEASE-RP is what is measured.
- `storescu`: DCMTK's, from files; its own start is part of the time, so that it is given enough
  images. CT only.

*acknowledged* is what the senders saw. *filed* counts until each instance lies as a file of its
own in `spool/new`: ours answers when the file is durable, before it has that name, so both are
told. A ratio is the median
over the rounds of ours by the peer's in the same round. Ours durable by `durability`; the others
promise nothing before the page cache (Orthanc syncs its files, not its folder or index), so *safe*
counts for them until a sync after the last answer has written everything back. storescp
as it is started by default encodes anew what it received; `storescp-bit-preserving` (+B, the
largest PDUs) is its quickest way. `discard` keeps nothing: the bound that our sender and the
loopback set.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from statistics import median

from benchmarks import sending
from benchmarks.common import Ratio, file_system, report, without_delay
from benchmarks.instances import blank, write_files
from benchmarks.processes import cpu_seconds, watched
from benchmarks.receivers import NAMES, Receiver, receiver
from benchmarks.wire import Blank

COUNTS = {"ct": 400, "mr": 800, "cr": 40, "multiframe": 8}
_DURABLE = ("appliance:instance", "appliance:association", "discard")  # or keeps nothing
_WARM_UP = 8
_FILING = 120.0  # seconds that filing may take after the last answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is sent, by whom, over how many associations."""

    workload: str
    sender: str
    associations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measurement. Rates in instances a second, CPU in seconds an instance."""

    case: Case
    receiver: str
    acknowledged: float
    filed: float
    safe: float
    receiver_cpu: float
    sender_cpu: float
    sender_share: float  # of the time, how much the senders' CPU was busy; all together
    slowest: float  # seconds, one C-STORE; 0 if not known
    peak_mb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is compared, and how often."""

    cases: tuple[Case, ...]
    receivers: tuple[str, ...]
    rounds: int
    counts: dict[str, int]
    processes: int | None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Raw)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--quick", action="store_true", help="fewer instances, rounds and cases")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--receivers", type=_words, default=NAMES, help=",".join(NAMES))
    parser.add_argument("--workloads", type=_words, help=",".join(COUNTS))
    parser.add_argument("--associations", type=_words)
    parser.add_argument("--senders", type=_words, help="own,storescu")
    parser.add_argument("--images", type=int, help="instead of each workload's own number")
    parser.add_argument("--processes", type=int, help="of ours; without it, as shipped")
    given = parser.parse_args()
    run(given.out, plan(given))


class _Raw(argparse.RawDescriptionHelpFormatter): ...


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def plan(given: argparse.Namespace) -> Plan:
    """Return what the arguments ask for."""
    quick = given.quick
    workloads = given.workloads or (("ct",) if quick else tuple(COUNTS))
    associations = given.associations or (("1", "4") if quick else ("1", "4", "8"))
    senders = given.senders or (("own",) if quick else ("own", "storescu"))
    counts = {name: count // 2 if quick else count for name, count in COUNTS.items()}
    if given.images:
        counts = dict.fromkeys(counts, given.images)
    return Plan(
        cases=tuple(
            Case(workload=workload, sender=sender, associations=int(number))
            for workload, sender, number in product(workloads, senders, associations)
            if sender == "own" or workload == "ct"
        ),
        receivers=given.receivers,
        rounds=given.rounds or (3 if quick else 5),
        counts={name: max(count, *map(int, associations)) for name, count in counts.items()},
        processes=given.processes,
    )


def full() -> Plan:
    """Return the whole comparison."""
    names = ("rounds", "workloads", "associations", "senders", "images", "processes")
    given = argparse.Namespace(quick=False, receivers=NAMES, **dict.fromkeys(names))
    return plan(given)


def run(out: Path, planned: Plan) -> None:
    """Measure, print the table and the ratios, write `out`/receive.json."""
    without_delay()
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        folder = Path(scratch)
        rows = list(measure(planned, folder))
        kind = file_system(folder)
    print_table(rows)
    details = {
        "file_system": kind,
        "counts": planned.counts,
        "rounds": planned.rounds,
        "processes": planned.processes or "as shipped",
        "rows": [asdict(row) for row in rows],
    }
    report("receive", ratios(rows, planned), details, out)


def measure(planned: Plan, folder: Path) -> Iterable[Row]:
    """Yield the rows, round by round of each workload.

    One workload after another: how quickly a file comes into the page cache depends on what was
    there before, and large objects leave memory in large pieces.
    """
    for workload in dict.fromkeys(case.workload for case in planned.cases):
        made = blank(workload)
        cases = [case for case in planned.cases if case.workload == workload]
        for number, case in product(range(planned.rounds), cases):
            files = _files(case, made, planned, folder)
            for name in _turned(planned.receivers, number):
                with receiver(
                    name, folder, associations=case.associations, processes=planned.processes
                ) as running:
                    row = _measure(case, name, running, made, files, planned.counts[workload])
                _progress(f"round {number + 1}: {_text(row)}")
                yield row


def _turned(names: Sequence[str], by: int) -> list[str]:
    at = by % len(names)
    return [*names[at:], *names[:at]]


def _files(case: Case, made: Blank, planned: Plan, folder: Path) -> list[Path]:
    """Return a folder of files for each association; none for a sender that needs none."""
    if case.sender == "own":
        return []
    home = folder / f"files-{case.associations}"
    counts = sending.shares(planned.counts[case.workload], case.associations)
    if not home.exists():
        for share, count in enumerate(counts):
            write_files(made, home / str(share), 1, share, count)
    return [home / str(share) for share in range(case.associations)]


def _measure(
    case: Case, name: str, running: Receiver, made: Blank, files: list[Path], count: int
) -> Row:
    sending.warm_up(running.port, blank("mr"), _WARM_UP)
    _wait_for_files(running, _WARM_UP)
    before = cpu_seconds(running.pid)
    with watched(running.pid) as peak:
        if files:
            sent = sending.storescu(running.port, files)
        else:
            sent = sending.own(running.port, made, sending.shares(count, case.associations))
        filed = _wait_for_files(running, count + _WARM_UP)
    seconds = sent.ended - sent.began
    cpu = cpu_seconds(running.pid) - before
    safe = sent.ended if name in _DURABLE else _synced()
    return Row(
        case=case,
        receiver=name,
        acknowledged=count / seconds,
        filed=count / (max(filed, sent.ended) - sent.began),
        safe=count / (safe - sent.began),
        receiver_cpu=cpu / count,
        sender_cpu=sent.cpu_seconds / count,
        sender_share=sent.cpu_seconds / seconds,
        slowest=sent.slowest_seconds,
        peak_mb=peak[0],
    )


def _synced() -> float:
    os.sync()
    return time.monotonic()


def _wait_for_files(running: Receiver, count: int) -> float:
    """Return when so many files lie there. Raises RuntimeError where they never do."""
    if running.filed is None:
        return 0.0
    deadline = time.monotonic() + _FILING
    while (there := running.filed()) < count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{there} of {count} acknowledged instances are there")
        time.sleep(0.005)
    if there > count:
        raise RuntimeError(f"{there} files are there, but {count} instances were sent")
    return time.monotonic()


def ratios(rows: Sequence[Row], planned: Plan) -> list[Ratio]:
    """Return ours beside each peer, by case: the median of the rounds' ratios."""
    ours = [name for name in planned.receivers if name.startswith("appliance:")]
    peers = [name for name in planned.receivers if name not in (*ours, "discard")]
    made = []
    for peer, case, name in product(peers, planned.cases, ours):
        each = [
            mine.acknowledged / theirs.acknowledged
            for mine, theirs in zip(_of(rows, case, name), _of(rows, case, peer), strict=True)
        ]
        conditions: dict[str, object] = {
            "associations": case.associations,
            "durability": name.partition(":")[2],
            "workload": case.workload,
            "sender": case.sender,
            "spread": f"{min(each):.2f}-{max(each):.2f}",
        }
        made.append(Ratio(what="receive", peer=peer, ratio=median(each), conditions=conditions))
    return made


def _of(rows: Sequence[Row], case: Case, name: str) -> list[Row]:
    return [row for row in rows if row.case == case and row.receiver == name]


def print_table(rows: Sequence[Row]) -> None:
    """Print the medians, by case."""
    print(
        f"{'workload':10} {'sender':8} {'assoc':>5} {'receiver':24} {'ack/s':>7} {'(spread)':>15}"
        f" {'filed/s':>7} {'safe/s':>7} {'recv ms':>7} {'send ms':>7} {'send %':>6}"
        f" {'worst ms':>8} {'MB':>5}"
    )
    for case, name in dict.fromkeys((row.case, row.receiver) for row in rows):
        some = _of(rows, case, name)
        rates = [row.acknowledged for row in some]
        print(
            f"{case.workload:10} {case.sender:8} {case.associations:5} {name:24}"
            f" {median(rates):7.1f} {f'{min(rates):.1f}-{max(rates):.1f}':>15}"
            f" {median(row.filed for row in some):7.1f}"
            f" {median(row.safe for row in some):7.1f}"
            f" {median(row.receiver_cpu for row in some) * 1e3:7.2f}"
            f" {median(row.sender_cpu for row in some) * 1e3:7.2f}"
            f" {median(row.sender_share for row in some) * 100:6.0f}"
            f" {max(row.slowest for row in some) * 1e3:8.1f}"
            f" {max(row.peak_mb for row in some):5.0f}"
        )
    print(
        "ack/s: acknowledged instances a second; filed/s: until each is a file of its own;"
        " safe/s: until\na power cut loses none; recv/send ms: CPU of all receiver/sender processes"
        " an instance;\nsend %: the senders' CPU by the time that passed; worst ms: the slowest"
        " C-STORE; MB: peak RSS, all receiver processes added."
    )


def _text(row: Row) -> str:
    case = row.case
    return (
        f"{case.workload} × {case.associations} {case.sender} {row.receiver}:"
        f" {row.acknowledged:.0f}/s, filed {row.filed:.0f}/s"
    )


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
