"""A modality by stock pynetdicom, our receiver on loopback, and the orchestrator, in real time."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID, MRImageStorage
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.sop_class import InstanceAvailabilityNotification, ModalityPerformedProcedureStep

from appliance.core.clock import SystemClock
from appliance.core.model import Job
from appliance.intake.options import CompleteOptions
from results_store.options import StoreOptions
from results_store.store import Store, open_store
from scp.announcing import NO_LONGER, Availability, Desk, PerformedSteps
from scp.server import Receiver
from scp.step_states import StepStates
from tests.announcements import available, ended_step, new_step
from tests.builders import mr_slices
from tests.counterparts import wait_until
from tests.receiving import (
    ExplicitVR,
    association,
    encoded,
    options,
    request_of,
    send_dataset,
)
from tests.store.intake_world import STUDY, IntakeWorld, plan

STEP = UID("1.2.3.9")
SYNTAXES = [ExplicitVR]
CONTEXTS = (
    (MRImageStorage, SYNTAXES),
    (ModalityPerformedProcedureStep, SYNTAXES),
    (InstanceAvailabilityNotification, SYNTAXES),
)
NEVER = CompleteOptions(quiet=timedelta(minutes=10), at_most=timedelta(hours=2))


@pytest.fixture
def kind() -> str:
    return "sqlite"


class Site:
    """A receiver and an orchestrator that the receiver wakes."""

    def __init__(self, root: Path, store: Store) -> None:
        self.world = IntakeWorld(root, store, SystemClock())  # type: ignore[arg-type]
        self._woken = threading.Event()
        self._over = threading.Event()
        desk = Desk(self.world.notices, SystemClock(), self._woken.set)
        self.receiver = Receiver(
            options(),
            self.world.spool,
            self,
            SystemClock(),
            tallies=root / "tallies",
            services=(PerformedSteps(desk, StepStates(root)), Availability(desk)),
        )

    def received(self, *_instances: object) -> None:
        self._woken.set()

    def loop(self) -> None:
        while not self._over.is_set():
            pause = self.world.step()
            self._woken.wait(pause.total_seconds())
            self._woken.clear()

    def stop(self) -> None:
        self._over.set()
        self._woken.set()

    def reason(self) -> str:
        """Return why the route waits; "" before it was looked at."""
        routes = self.world.store.routes.of_study(STUDY)
        return routes[0].reason if routes else ""

    def job(self) -> Job:
        """Return the one job, when it is queued."""
        wait_until(self.world.jobs)
        (job,) = self.world.jobs()
        return job


@pytest.fixture
def site(tmp_path: Path, options: StoreOptions) -> Iterator[Site]:
    store = open_store(options, SystemClock())
    with running(Site(tmp_path / "spool", store)) as site:
        site.world.use(plan(complete=NEVER))
        yield site
    store.close()


@contextmanager
def running(site: Site) -> Iterator[Site]:
    thread = threading.Thread(target=site.loop)
    site.receiver.start()
    thread.start()
    try:
        yield site
    finally:
        site.receiver.stop()
        site.stop()
        thread.join()


def head(**attributes: object) -> list[Dataset]:
    return mr_slices(slices=4, study_instance_uid=STUDY, gap=1.0, **attributes)


def listing(images: list[Dataset]) -> dict[str, list[str]]:
    return {images[0].SeriesInstanceUID: [one.SOPInstanceUID for one in images]}


def create(modality: Any, step: Dataset) -> Dataset:
    status, _ = modality.send_n_create(step, ModalityPerformedProcedureStep, STEP)
    return status


def change(modality: Any, step: Dataset) -> Dataset:
    status, _ = modality.send_n_set(step, ModalityPerformedProcedureStep, STEP)
    return status


def test_the_last_image_that_a_completed_step_lists_closes_the_route_within_two_seconds(
    site: Site,
) -> None:
    images = head()
    with association(site.receiver.port, *CONTEXTS) as modality:
        assert create(modality, new_step(STUDY)).Status == 0x0000
        for image in images[:-1]:
            send_dataset(modality, image)
        assert change(modality, ended_step(listing(images))).Status == 0x0000
        wait_until(lambda: site.world.store.announcements.of_study(STUDY))
        assert site.world.jobs() == ()
        send_dataset(modality, images[-1])
        sent_at = SystemClock().now()
        job = site.job()
    assert job.created_at - sent_at < timedelta(seconds=2)
    assert len(job.inputs) == 4
    (decided,) = site.world.store.decisions.of_study(STUDY)
    assert decided.signal == "mpps"


def test_the_end_of_the_step_closes_the_route_whose_images_are_here(site: Site) -> None:
    images = head()
    with association(site.receiver.port, *CONTEXTS) as modality:
        create(modality, new_step(STUDY))
        for image in images:
            send_dataset(modality, image)
        change(modality, ended_step(listing(images)))
        sent_at: datetime = SystemClock().now()
        assert site.job().created_at - sent_at < timedelta(seconds=2)


def test_a_notification_closes_as_well(site: Site) -> None:
    images = head()
    with association(site.receiver.port, *CONTEXTS) as modality:
        for image in images:
            send_dataset(modality, image)
        status, _ = modality.send_n_create(
            available(STUDY, listing(images)), InstanceAvailabilityNotification, UID("1.2.3.8")
        )
        assert status.Status == 0x0000
        site.job()


def test_the_modality_reads_the_statuses_of_the_standard(site: Site) -> None:
    with association(site.receiver.port, *CONTEXTS) as modality:
        assert change(modality, ended_step({})).Status == 0x0112
        unscheduled = new_step(STUDY, ScheduledStepAttributesSequence=None)
        assert create(modality, unscheduled).Status == 0x0120
        assert create(modality, new_step(STUDY)).Status == 0x0000
        assert create(modality, new_step(STUDY)).Status == 0x0111
        assert change(modality, ended_step({}, "DISCONTINUED")).Status == 0x0000
        refused = change(modality, ended_step({}))
        assert (refused.Status, refused.ErrorComment, refused.ErrorID) == (
            0x0110,
            NO_LONGER,
            0xA710,
        )


def test_a_series_that_a_broken_association_cut_off_waits_for_the_second_try(site: Site) -> None:
    quiet = timedelta(milliseconds=300)
    site.world.use(plan(complete=CompleteOptions(quiet=quiet, at_most=timedelta(hours=2))))
    images = head(ImagesInAcquisition=4, AcquisitionNumber=1)
    with association(site.receiver.port, *CONTEXTS) as modality:
        for image in images[:2]:
            send_dataset(modality, image)
        modality.dul.socket.socket.sendall(first_half(images[2]))
        modality.abort()
    wait_until(lambda: site.reason() == "series 1 't1 mprage' has 2 of 4 images")
    assert site.world.jobs() == ()
    with association(site.receiver.port, *CONTEXTS) as modality:
        for image in images:
            assert send_dataset(modality, image) == 0x0000
        sent_at = SystemClock().now()
        job = site.job()
    assert job.created_at - sent_at < quiet + timedelta(seconds=2)
    assert {one.sop_instance_uid for one in job.inputs} == set(listing(images).popitem()[1])


def first_half(image: Dataset) -> bytes:
    """The C-STORE request of an image in one P-DATA-TF, cut off in the data set."""
    primitive = C_STORE_RQ()
    primitive.primitive_to_message(request_of(image))
    (command, data) = primitive.encode_msg(1, 0)
    whole = b"".join(_pdu(one) for one in (command, data))
    return whole[: -len(encoded(image)) // 2]


def _pdu(values: P_DATA) -> bytes:
    pdu = P_DATA_TF()
    pdu.from_primitive(values)
    return pdu.encode()
