"""The intake of one appliance on a real spool and a real store, with a clock that stands still."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import ImplicitVRLittleEndian

from appliance.core.log import Event
from appliance.core.model import Door, Job, RouteDecision
from appliance.core.ports import Role
from appliance.core.states import RouteState
from appliance.intake.bulletins import Bulletins
from appliance.intake.compare import Comparer
from appliance.intake.counting import SeriesCounts
from appliance.intake.facts import FactsOf
from appliance.intake.indexer import Indexer
from appliance.intake.library import Library
from appliance.intake.options import CompleteOptions, InstalledVersion, IntakeOptions, RoutePlan
from appliance.intake.orchestrator import Orchestrator
from appliance.intake.scan import HeaderCache
from appliance.routing.rules import PipelineInputs, attributes_needed
from appliance.wiring.frames import frames_digest
from results_store.jobs import SendTo
from results_store.routes import RouteStatus
from results_store.store import Store
from scp.announced import AVAILABILITY, PERFORMED_STEP
from scp.command import N_CREATE_RQ, N_SET_RQ
from scp.filemeta import Provenance
from scp.notices import Notice, Notices
from scp.spool import Spool
from scp.step_states import StepStates
from tests.announcements import encoded
from tests.store.world import SteppedClock
from tests.summaries import one_pipeline, route, spec

STUDY = "1.2.3.1"
KEY = b"k" * 32


def plan(**changes: Any) -> RoutePlan:
    """Return a route for MR that sends; 30 s quiet, 2 h at most."""
    values: dict[str, Any] = {
        "route": route({"Modality": "MR"}),
        "complete": CompleteOptions(quiet=timedelta(seconds=30), at_most=timedelta(hours=2)),
        "send": (SendTo(destination="pacs", objects=("sr", "seg")),),
    }
    return RoutePlan(**(values | changes))


class IntakeWorld:
    """Puts data sets into the spool and lets the orchestrator look."""

    def __init__(self, spool_root: Path, store: Store, clock: SteppedClock) -> None:
        self.spool_root = spool_root
        self.spool = Spool(spool_root)
        self.notices = Notices(spool_root)
        self.store = store
        self.clock = clock
        self.woken: list[str] = []
        self.asked: list[str] = []
        self.identity_from: tuple[str, ...] = ()
        self._counts: dict[str, SeriesCounts] = {}
        self.use(plan())

    def use(
        self,
        *plans: RoutePlan,
        inputs: PipelineInputs | None = None,
        batch: int = 200,
        poll: timedelta = timedelta(seconds=1),
    ) -> None:
        """Start again with these routes."""
        wanted = inputs or one_pipeline(spec("t1", {"MRAcquisitionType": "3D"}))["brain-mr"]
        self._options = IntakeOptions(
            routes=plans,
            pipelines={"brain-mr": InstalledVersion(version="1", digest="d" * 64, inputs=wanted)},
            time_zone=ZoneInfo("Europe/London"),
            poll=poll,
        )
        self._batch = batch
        self.restart()

    def ask(self, peer: str, counts: SeriesCounts) -> None:
        """Let the peer answer; what it is asked is kept."""

        def asked(study_instance_uid: str) -> Mapping[str, int | None]:
            self.asked.append(study_instance_uid)
            return counts(study_instance_uid)

        self._counts[peer] = asked

    def restart(self) -> None:
        """Forget everything that is not on the disk."""
        options = self._options
        routes = [one.route for one in options.routes]
        headers = HeaderCache(attributes_needed(routes, options.inputs().values()))
        comparer = Comparer(self.spool, frames_digest, self.identity_from)
        self.indexer = Indexer(
            self.spool, self.store, headers, FactsOf(KEY), comparer, batch=self._batch
        )
        self._orchestrator = Orchestrator(
            options=options,
            store=self.store,
            indexer=self.indexer,
            bulletins=Bulletins(self.notices, StepStates(self.spool_root), self.store),
            library=Library(self.store, self.spool, headers),
            clock=self.clock,
            wakeup=self,
            counts=self._counts,
        )

    def wake(self, role: Role) -> None:
        """Be the orchestrator's wake-up."""
        self.woken.append(role.value)

    def receive(
        self,
        datasets: Sequence[Dataset],
        door: Door = Door.PUSHED,
        *,
        calling: str = "MR01",
        cut: int = 0,
    ) -> tuple[str, ...]:
        """Put the data sets into the spool as C-STORE does; return their names.

        `cut` bytes are missing at the end of each.
        """
        return tuple(self._receive(dataset, door, calling, cut) for dataset in datasets)

    @staticmethod
    def encoded(dataset: Dataset) -> bytes:
        """Return the data set as it goes over the wire."""
        syntax = dataset.file_meta.TransferSyntaxUID
        file = DicomBytesIO()
        file.is_little_endian = syntax.is_little_endian
        file.is_implicit_VR = syntax.is_implicit_VR
        write_dataset(file, dataset)
        return file.getvalue()

    def _receive(self, dataset: Dataset, door: Door, calling: str, cut: int) -> str:
        content = self.encoded(dataset)
        content = content[: len(content) - cut]
        incoming = self.spool.writer(
            Provenance(
                sop_class_uid=dataset.SOPClassUID,
                sop_instance_uid=dataset.SOPInstanceUID,
                transfer_syntax_uid=dataset.file_meta.TransferSyntaxUID,
                calling_ae_title=calling,
                called_ae_title="APPLIANCE",
                peer_address="127.0.0.1",
                received_at=self.clock.now(),
                door=door,
            )
        )
        incoming.write(content)
        received, _ = incoming.commit(incoming.identity(), self.clock.now())
        return received.spool_name

    def create_step(self, dataset: Dataset, uid: str = "1.2.3.9") -> None:
        """Be the receiver that took an N-CREATE of a procedure step."""
        self._note(N_CREATE_RQ, PERFORMED_STEP, uid, dataset)

    def set_step(self, dataset: Dataset, uid: str = "1.2.3.9") -> None:
        """Be the receiver that took an N-SET of a procedure step."""
        self._note(N_SET_RQ, PERFORMED_STEP, uid, dataset)

    def notify(self, dataset: Dataset, uid: str = "1.2.3.8") -> None:
        """Be the receiver that took an Instance Availability Notification."""
        self._note(N_CREATE_RQ, AVAILABILITY, uid, dataset)

    def _note(self, operation: int, sop_class: str, uid: str, dataset: Dataset) -> None:
        notice = Notice(
            operation=operation,
            sop_class_uid=sop_class,
            sop_instance_uid=uid,
            action_type_id=None,
            transfer_syntax_uid=ImplicitVRLittleEndian,
            calling_ae_title="MR01",
            called_ae_title="APPLIANCE",
            peer_address="127.0.0.1",
            received_at=self.clock.now(),
        )
        self.notices.put(notice, encoded(dataset))

    def step(self) -> timedelta:
        """Let the orchestrator look once."""
        return self._orchestrator.step()

    def step_to_the_end(self) -> None:
        """Let it look until everything that is here is indexed."""
        for _ in range(20):
            if self.step() > timedelta(0):
                return
        raise AssertionError("it does not come to an end")

    def pass_time(self, by: timedelta) -> None:
        """Look, let the time pass, look again."""
        self.step_to_the_end()
        self.clock.advance(by)
        self.step_to_the_end()

    def jobs(self, study: str = STUDY) -> tuple[Job, ...]:
        return self.store.jobs.of_study(study)

    def status(self, name: str = "brain") -> RouteStatus:
        return next(one for one in self.store.routes.of_study(STUDY) if one.route == name)

    def state(self, name: str = "brain") -> RouteState:
        return self.status(name).state

    def decision(self, name: str = "brain") -> RouteDecision:
        decisions = [one.decision for one in self.store.decisions.of_study(STUDY)]
        return [one for one in decisions if one.route == name][-1]

    def events(self) -> list[Event]:
        return [one.event for one in self.store.events.of_study(STUDY)]

    def stored(self, event: Event) -> list[Mapping[str, object]]:
        """Return the fields of these events in the study's history."""
        return [one.fields for one in self.store.events.of_study(STUDY) if one.event is event]
