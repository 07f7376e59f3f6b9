"""From the last needed image to the job in the queue.

    python -m benchmarks.latency [--studies N] [--ways NAME,…]

A stream of MR series goes to `appliance run`; the clock runs from the answer to the last thing
that was needed to the time that the job's row names, which is taken as its transaction begins. The
ways to be complete:

- quiet: nothing is said; what is told is the time beyond the route's quiet time.
- mpps: a performed procedure step ends (N-SET COMPLETED, listing every image) before its last
  image arrives.
- mpps-after: the same, but the N-SET comes after the last image; the clock runs from its answer.
- ian: an instance availability notification lists every image before the last one arrives.
"""

import argparse
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE
from pynetdicom.sop_class import (
    InstanceAvailabilityNotification,
    ModalityPerformedProcedureStep,
)

from benchmarks.common import report
from benchmarks.instances import blank
from benchmarks.wire import Association, uid
from tests.appliance import Appliance, appliance, settings
from tests.counterparts import HOST, free_port, wait_until

WAYS = ("quiet", "mpps", "mpps-after", "ian")
_QUIET = 2.0  # seconds, of the route
_IMAGES = 40
_APART = 1.0  # seconds between two studies: 3600 an hour
_LONGEST = 60.0
_LOOK = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--studies", type=int, default=24)
    parser.add_argument("--ways", default=",".join(WAYS))
    given = parser.parse_args()
    run(given.out, studies=given.studies, ways=tuple(given.ways.split(",")))


def run(out: Path, *, studies: int = 24, ways: tuple[str, ...] = WAYS) -> None:
    """Measure, print the table, write `out`/latency.json."""
    out.mkdir(parents=True, exist_ok=True)
    seconds: dict[str, list[float]] = {}
    for way in ways:
        with (
            tempfile.TemporaryDirectory(dir=out) as scratch,
            appliance(Path(scratch), route_closed_by(Path(scratch), way)) as site,
        ):
            seconds[way] = measure(site, way, studies)
    print(f"seconds from the last needed image to the job queued, {studies} studies each")
    print(f"{'closed by':12} {'median':>7} {'p95':>7} {'worst':>7}")
    for way, found in seconds.items():
        p95 = quantiles(found, n=20)[-1]
        print(f"{way:12} {median(found):7.2f} {p95:7.2f} {max(found):7.2f}")
    print(f"quiet: beyond the quiet time of {_QUIET:.0f} s")
    report("latency", [], {"quiet_seconds": _QUIET, "seconds": seconds}, out)


def route_closed_by(folder: Path, way: str) -> dict[str, Any]:
    made = settings(folder, free_port())
    made["receiver"] |= {"accept_unknown_peers": True}
    quiet = f"{_QUIET:.0f} s" if way == "quiet" else "10 min"
    made["routes"] = [
        {
            "name": "t1",
            "when": {"Modality": "MR"},
            "complete": {"quiet": quiet, "at_most": "20 min", "then": "hold"},
            "run": ["bright-volume"],
            "backfill": "shadow",
        }
    ]
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Teller:
    """An association on which messages about images are sent; asserts that each is taken."""

    association: Any

    def create(self, sop_class: str, name: str, message: Dataset) -> None:
        status, _ = self.association.send_n_create(message, sop_class, name)
        _taken(status)

    def change(self, sop_class: str, name: str, message: Dataset) -> None:
        status, _ = self.association.send_n_set(message, sop_class, name)
        _taken(status)


def _taken(status: Dataset) -> None:
    if "Status" not in status or status.Status != 0:
        raise RuntimeError(f"a message was refused: {status}")


@contextmanager
def _teller(port: int) -> Iterator[Teller]:
    entity = AE("BENCHMARK")
    for sop_class in (ModalityPerformedProcedureStep, InstanceAvailabilityNotification):
        entity.add_requested_context(sop_class)
    association = entity.associate(HOST, port, ae_title="APPLIANCE")
    if not association.is_established:
        raise RuntimeError("the association for messages was not accepted")
    try:
        yield Teller(association=association)
    finally:
        association.release()


def measure(site: Appliance, way: str, studies: int) -> list[float]:
    """Send the studies; return the seconds of each."""
    made = blank("mr", SeriesDescription="t1 mprage", MRAcquisitionType="3D")
    run_number = secrets.randbelow(10**9) * 10
    needed: dict[str, datetime] = {}  # when the last thing was answered, by study
    association = Association(site.receiver_port, [made.sop_class_uid])
    instance = association.instance(made)

    def store(share: int, index: int) -> None:
        names = (uid(kind, run_number, share, index * (kind == 3)) for kind in (1, 2, 3))
        instance.number(index, *names)
        if status := association.store(instance):
            raise RuntimeError(f"an image was refused: {status:04X}")

    if way == "quiet":
        _stream(site, studies, run_number, needed, lambda share: _all(store, share))
    else:
        with _teller(site.receiver_port) as teller:

            def send(share: int) -> None:
                _announced(way, teller, store, run_number, share, made.sop_class_uid)

            _stream(site, studies, run_number, needed, send)
    association.release()
    beyond = _QUIET if way == "quiet" else 0.0
    queued = {study: site.store.jobs.of_study(study)[0].created_at for study in needed}
    return [(queued[study] - needed[study]).total_seconds() - beyond for study in needed]


def _all(store: Callable[[int, int], None], share: int) -> None:
    for index in range(1, _IMAGES + 1):
        store(share, index)


def _announced(
    way: str,
    teller: Teller,
    store: Callable[[int, int], None],
    run_number: int,
    share: int,
    sop_class: str,
) -> None:
    step = generate_uid()
    if way != "ian":
        teller.create(ModalityPerformedProcedureStep, step, _begun(run_number, share))
    for index in range(1, _IMAGES):
        store(share, index)
    if way == "mpps-after":
        store(share, _IMAGES)
    if way == "ian":
        message = _available(run_number, share, sop_class)
        teller.create(InstanceAvailabilityNotification, step, message)
    else:
        message = _ended(run_number, share, sop_class)
        teller.change(ModalityPerformedProcedureStep, step, message)
    if way != "mpps-after":
        store(share, _IMAGES)


def _stream(
    site: Appliance,
    studies: int,
    run_number: int,
    needed: dict[str, datetime],
    send: Callable[[int], None],
) -> None:
    """Send a study from time to time, and wait for all their jobs."""
    for share in range(1, studies + 1):
        send(share)
        needed[uid(1, run_number, share, 0).decode()] = datetime.now(UTC)
        time.sleep(_APART)
    waiting = set(needed)

    def all_queued() -> bool:
        time.sleep(_LOOK)
        waiting.difference_update([s for s in waiting if site.store.jobs.of_study(s)])
        return not waiting

    wait_until(all_queued, _LONGEST)


# -- messages: what they must have, and the images -----------------------------------------


def _begun(run_number: int, share: int) -> Dataset:
    """An N-CREATE of a performed procedure step (PS3.4 table F.7.2-1)."""
    scheduled = Dataset()
    scheduled.StudyInstanceUID = uid(1, run_number, share, 0).decode()
    scheduled.AccessionNumber = scheduled.RequestedProcedureID = ""
    made = Dataset()
    made.ScheduledStepAttributesSequence = [scheduled]
    made.PatientName, made.PatientID = "Synthetic^Patient", "SYNTHETIC-1"
    made.PerformedProcedureStepID, made.PerformedStationAETitle = "1", "BENCHMARK"
    made.PerformedProcedureStepStartDate = "20260102"
    made.PerformedProcedureStepStartTime = "101500"
    made.PerformedProcedureStepStatus = "IN PROGRESS"
    made.Modality = "MR"
    made.PerformedSeriesSequence = []
    return made


def _ended(run_number: int, share: int, sop_class: str) -> Dataset:
    series = Dataset()
    series.SeriesInstanceUID = uid(2, run_number, share, 0).decode()
    series.ReferencedImageSequence = _references(run_number, share, sop_class)
    made = Dataset()
    made.PerformedProcedureStepStatus = "COMPLETED"
    made.PerformedSeriesSequence = [series]
    return made


def _available(run_number: int, share: int, sop_class: str) -> Dataset:
    """An N-CREATE of an instance availability notification (PS3.4 table R.3.2-1)."""
    series = Dataset()
    series.SeriesInstanceUID = uid(2, run_number, share, 0).decode()
    series.ReferencedSOPSequence = _references(run_number, share, sop_class)
    for item in series.ReferencedSOPSequence:
        item.InstanceAvailability, item.RetrieveAETitle = "ONLINE", "BENCHMARK"
    made = Dataset()
    made.StudyInstanceUID = uid(1, run_number, share, 0).decode()
    made.ReferencedPerformedProcedureStepSequence = []
    made.ReferencedSeriesSequence = [series]
    return made


def _references(run_number: int, share: int, sop_class: str) -> list[Dataset]:
    items = []
    for index in range(1, _IMAGES + 1):
        item = Dataset()
        item.ReferencedSOPClassUID = sop_class
        item.ReferencedSOPInstanceUID = uid(3, run_number, share, index).decode()
        items.append(item)
    return items


if __name__ == "__main__":
    main()
