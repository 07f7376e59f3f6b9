"""A store with one delivered run and archives that are folders, for tests of deliveries."""

import hashlib
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from appliance.core.backoff import Backoff
from appliance.core.clock import SystemClock
from appliance.core.errors import PeerError
from appliance.core.model import Delivery, Job, ResultObject
from appliance.core.states import DeliveryState
from appliance.delivery.courier import Courier
from appliance.delivery.lane import NotFound
from appliance.delivery.options import CourierOptions, DestinationOptions
from results_store.commands import CompletedRun
from results_store.indexing import Comparison
from results_store.jobs import SendTo
from results_store.migrate import migrate
from results_store.options import StoreOptions
from results_store.store import Store, open_store
from tests.store import world as rows

KEY = "k" * 64  # the patient's, as the images had it
SOON = Backoff(first=timedelta(milliseconds=20), longest=timedelta(milliseconds=100), attempts=4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """An answer to one instance."""

    status: int = 0
    accepted: bool = True
    retry: bool = False


class FolderArchive:
    """Holds what it was sent in a folder, so that a killed process leaves it behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.answers: list[Said | PeerError] = []  # said first, in this order
        self.stored: list[str] = []
        self.asked = 0
        self.forgets = 0  # so many questions for an instance are answered with no
        self.patient: str | NotFound | None = KEY
        self.troubled = ""  # a study that it fails at whenever it is asked for its patient
        self.unprovable = ""  # a study that it fails at whenever it is asked for proof

    def patient_of(self, study: str) -> str | NotFound | None:
        if study == self.troubled:
            raise PeerError("one study, two patients")
        return self.patient

    def store(self, paths: Sequence[Path]) -> tuple[Said, ...]:
        (path,) = paths
        said = self.answers.pop(0) if self.answers else Said()
        if isinstance(said, PeerError):
            raise said
        if said.accepted:
            self.stored.append(path.name)
            shutil.copyfile(path, self.folder / path.name)
        return (said,)

    def has_instance(self, study: str, series: str, sop: str) -> bool:
        self.asked += 1
        if study == self.unprovable:
            raise PeerError("unable to process")
        if self.asked <= self.forgets:
            return False
        return any(sop in path.read_text() for path in self.folder.iterdir())


class Outbox:
    """A data folder with a store; `send` finishes a run whose objects go to destinations."""

    def __init__(self, folder: Path, *, new: bool = True) -> None:
        self.folder = folder
        self.results = folder / "results"
        self.clock = SystemClock()
        options = StoreOptions(url=f"sqlite:///{folder}/store.db")
        if new:
            migrate(options)
        self.store: Store = open_store(options, self.clock)
        self._couriers: list[Courier] = []

    def close(self) -> None:
        for courier in self._couriers:
            courier.close()
        self.store.close()

    def send(self, *destinations: str, kinds: tuple[str, ...] = ("sr",)) -> Job:
        """Queue, claim and complete a run; its objects wait in the outbox."""
        study = f"1.2.3.{len(self.store.jobs.list()) + 1}"
        sends = tuple(SendTo(destination=name, objects=kinds) for name in destinations)
        now = self.clock.now()
        image = rows.received(study_instance_uid=study)
        inputs = (replace(rows.new_run().inputs[0], spool_name=image.spool_name),)
        job = rows.submit(
            self.store, study=study, send=sends, inputs=inputs, run_after=now, now=now
        )
        held = rows.claim(self.store, now=now)
        objects = tuple(self._object(kind, f"{study}.{n}") for n, kind in enumerate(kinds, 1))
        completed = CompletedRun(
            result=rows.result(), objects=objects, device="cpu", seconds={}, patient_key=KEY
        )
        self.store.commands.complete_run(held, completed, now)
        return job

    def correct_patient(self, job: Job) -> None:
        """Let the study's image come again with another Patient ID."""
        study = job.study_instance_uid
        (first,) = self.store.studies.instances(study)
        new = rows.received(study_instance_uid=study, checksum="f" * 64)
        found = Comparison(against=first.spool_name, alike=True, wins=True)
        facts = rows.facts(patient_key="x" * 64, patient_id_key="x" * 64)
        self.store.studies.index_many([(new, facts)], {new.spool_name: found})

    def _object(self, kind: str, uid: str) -> ResultObject:
        path = self.results / f"aa/{uid}/{kind}-{uid}.dcm"
        path.parent.mkdir(parents=True)
        path.write_text(f"{kind} {uid}")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        relative = path.relative_to(self.results).as_posix()
        return replace(rows.result_object(kind, uid), path=relative, sha256=digest)

    def courier(
        self,
        archives: Mapping[str, FolderArchive],
        *,
        name: str = "c1",
        destination: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> Courier:
        """Return a courier whose timings suit tests; `destination` changes each one's options."""
        values: dict[str, Any] = {
            "name": name,
            "destinations": tuple(
                DestinationOptions(name=archive, **({"send": SOON} | dict(destination or {})))
                for archive in archives
            ),
            "results": self.results,
            "lease": timedelta(seconds=1),
            "poll": timedelta(milliseconds=50),
            "prove": SOON,
        }
        courier = Courier(
            CourierOptions(**(values | changes)),
            self.store,
            archives,
            lambda delivery: archives[delivery.destination].patient_of(delivery.study_instance_uid),
            self.clock,
        )
        self._couriers.append(courier)
        return courier

    def of(self, job: Job, destination: str = "pacs") -> Delivery:
        """Return the run's one delivery to the destination."""
        (delivery,) = (
            item
            for item in self.store.deliveries.of_study(job.study_instance_uid)
            if item.destination == destination
        )
        return delivery

    def state(self, job: Job, destination: str = "pacs") -> DeliveryState:
        return self.of(job, destination).state

    def work(self, courier: Courier, until: Callable[[], bool], seconds: float = 20) -> None:
        """Let the courier step until the condition is true."""
        deadline = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < deadline, "the condition did not come true"
            rest = courier.step()
            time.sleep(min(rest.total_seconds(), 0.02))
