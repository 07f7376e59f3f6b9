"""An MR exam of 50 minutes, with ten minutes between its series, in compressed time.

The clock goes from one event to the next: an image, a message, or the moment at which the
orchestrator itself wants to look again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import (
    UID,
    BasicTextSRStorage,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    SegmentationStorage,
)

from appliance.core.log import Event
from appliance.core.model import Job
from appliance.core.product import APPLIANCE_DEVICE_UID
from appliance.core.states import RouteState
from appliance.intake.completion import Signal
from appliance.intake.options import CompleteOptions, Late
from results_store.store import Store
from tests.announcements import ended_step, new_step
from tests.builders import instance, mr_slices
from tests.store.intake_world import STUDY, IntakeWorld, plan
from tests.store.world import SteppedClock
from tests.summaries import one_pipeline, spec

QUIET = timedelta(seconds=30)
CEILING = timedelta(hours=2)
GAP = timedelta(minutes=10)
BETWEEN_IMAGES = timedelta(seconds=2)
TWO_INPUTS = one_pipeline(
    spec("t1", {"MRAcquisitionType": "3D"}), spec("flair", {"SeriesDescription": "flair"})
)["brain-mr"]


@pytest.fixture
def kind() -> str:
    return "sqlite"


@pytest.fixture
def exam(tmp_path: Path, store: Store, clock: SteppedClock) -> "Exam":
    return Exam(IntakeWorld(tmp_path / "spool", store, clock))


@dataclass(frozen=True, kw_only=True)
class Queued:
    """A job, and how long after the last image that it needed it was queued."""

    job: Job
    after: timedelta


class Exam:
    """Plays a day at the scanner; what the appliance wants to do in between, it does."""

    def __init__(self, world: IntakeWorld) -> None:
        self.world = world
        options = CompleteOptions(quiet=QUIET, at_most=CEILING)
        world.use(
            plan(complete=options, late=Late.RERUN), inputs=TWO_INPUTS, poll=timedelta(minutes=1)
        )
        self.sent: dict[str, datetime] = {}

    def wait(self, by: timedelta) -> None:
        """Let the time pass as it does for an orchestrator that nobody wakes."""
        end = self.world.clock.now() + by
        while (left := end - self.world.clock.now()) > timedelta(0):
            self.world.clock.advance(min(max(self.world.step(), timedelta(milliseconds=1)), left))
        self.world.step()

    def send(self, images: Sequence[Dataset]) -> None:
        """Send one image every two seconds; each wakes the orchestrator."""
        for image in images:
            self.world.receive([image])
            self.sent[image.SOPInstanceUID] = self.world.clock.now()
            self.wait(BETWEEN_IMAGES)

    def queued(self) -> tuple[Queued, ...]:
        return tuple(
            Queued(job=job, after=job.created_at - max(self.sent[one] for one in uids))
            for job in self.world.jobs()
            if (uids := [item.sop_instance_uid for item in job.inputs])
        )


def scan(description: str, number: int, *, slices: int = 5, **changes: object) -> list[Dataset]:
    return mr_slices(
        slices=slices,
        study_instance_uid=STUDY,
        SeriesDescription=description,
        SeriesNumber=number,
        **{"MRAcquisitionType": "2D", "gap": 4.0} | changes,
    )


def no_images() -> Iterator[Dataset]:
    """What workstations add to a study: a report, a presentation state, a key note, a mask."""
    classes = (
        (BasicTextSRStorage, "SR"),
        (GrayscaleSoftcopyPresentationStateStorage, "PR"),
        (KeyObjectSelectionDocumentStorage, "KO"),
        (SegmentationStorage, "SEG"),
    )
    for number, (sop_class, modality) in enumerate(classes, 1):
        shared = {
            "StudyInstanceUID": STUDY,
            "SeriesInstanceUID": f"1.2.3.90.{number}",
            "Modality": modality,
            "PatientID": "SYNTHETIC-1",
            "IssuerOfPatientID": "TEST",
        }
        yield instance(UID(sop_class), ExplicitVRLittleEndian, shared)


def made_by_us() -> Dataset:
    """An image that the appliance made, back from the PACS."""
    (image,) = scan("t1 mprage", 99, slices=1, MRAcquisitionType="3D")
    equipment = Dataset()
    equipment.DeviceUID = APPLIANCE_DEVICE_UID
    image.ContributingEquipmentSequence = DicomSequence([equipment])
    return image


def listing(*series: Sequence[Dataset]) -> dict[str, list[str]]:
    return {one[0].SeriesInstanceUID: [image.SOPInstanceUID for image in one] for one in series}


def test_ten_minutes_between_series_close_nothing_that_lacks_an_input(exam: Exam) -> None:
    for series in (scan("localizer", 1, slices=3), scan("t1", 2, MRAcquisitionType="3D")):
        exam.send(series)
        exam.wait(GAP)
        assert exam.world.jobs() == ()
        assert exam.world.state() is RouteState.OPEN
    exam.send(scan("t2", 3))
    exam.wait(GAP)
    exam.send(scan("flair", 4))
    exam.wait(QUIET)
    (queued,) = exam.queued()
    assert len(queued.job.inputs) == 10
    assert QUIET <= queued.after <= QUIET + timedelta(milliseconds=500)
    exam.wait(GAP)
    exam.send(scan("dwi", 5))
    exam.send([*no_images(), made_by_us()])
    exam.wait(CEILING)
    assert len(exam.world.jobs()) == 1
    assert Event.ROUTE_LATE not in exam.world.events()
    assert exam.world.store.studies.dirty() == ()


def test_what_is_no_image_does_not_extend_the_quiet_time(exam: Exam) -> None:
    exam.send(scan("t1", 1, MRAcquisitionType="3D"))
    exam.send(scan("flair", 2))
    exam.wait(QUIET - timedelta(seconds=9))
    exam.send([*no_images(), made_by_us()])
    (queued,) = exam.queued()
    assert queued.after <= QUIET + timedelta(milliseconds=500)


def test_with_its_procedure_step_the_exam_is_queued_when_the_last_needed_image_is_here(
    exam: Exam,
) -> None:
    first, second, third = scan("t1", 1, MRAcquisitionType="3D"), scan("flair", 2), scan("dwi", 3)
    exam.world.create_step(new_step(STUDY))
    for series in (first, second[:-1]):
        exam.send(series)
        exam.wait(GAP)
    exam.send(third)
    exam.world.set_step(ended_step(listing(first, second, third)))
    exam.wait(GAP)
    assert exam.world.jobs() == ()
    exam.send(second[-1:])
    (queued,) = exam.queued()
    assert queued.after < timedelta(seconds=2)
    assert exam.world.store.decisions.of_study(STUDY)[-1].signal == Signal.MPPS


def test_a_series_that_was_cut_off_waits_for_the_rest_where_its_headers_count_it(
    exam: Exam,
) -> None:
    counted = scan("t1", 1, MRAcquisitionType="3D", ImagesInAcquisition=5, AcquisitionNumber=1)
    exam.send(scan("flair", 2))
    exam.send(counted[:3])
    exam.wait(GAP)
    assert exam.world.status().reason == "series 1 't1' has 3 of 5 images"
    exam.send(counted[3:])  # the modality tries again ten minutes later
    exam.wait(QUIET)
    (queued,) = exam.queued()
    assert len(queued.job.inputs) == 10
    assert queued.after <= QUIET + timedelta(milliseconds=500)


def test_a_series_that_was_cut_off_and_counted_by_nobody_runs_again_when_the_rest_comes(
    exam: Exam,
) -> None:
    t1 = scan("t1", 1, MRAcquisitionType="3D")
    exam.send(scan("flair", 2))
    exam.send(t1[:3])
    exam.wait(GAP)
    exam.send(t1[3:])
    exam.wait(QUIET)
    first, second = exam.queued()
    assert [len(one.job.inputs) for one in (first, second)] == [8, 10]
    assert second.job.run_number == 2
    assert second.after <= QUIET + timedelta(milliseconds=500)
