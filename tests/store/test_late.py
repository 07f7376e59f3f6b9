"""Images that come after the jobs were queued: `late: rerun` and `late: ignore`."""

from datetime import timedelta
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from appliance.core.errors import IllegalTransition
from appliance.core.log import Event
from appliance.core.states import JobEvent, JobState, RouteState
from appliance.intake.options import Late
from results_store.store import Store
from tests.builders import encapsulated_pdf, mr_slices
from tests.store import world as values
from tests.store.intake_world import STUDY, IntakeWorld, plan
from tests.store.world import SteppedClock
from tests.summaries import one_pipeline, route, spec

QUIET = timedelta(seconds=30)
SECOND = timedelta(seconds=1)


@pytest.fixture
def world(tmp_path: Path, store: Store, clock: SteppedClock) -> IntakeWorld:
    world = IntakeWorld(tmp_path / "spool", store, clock)
    world.use(plan(late=Late.RERUN))
    return world


def head(**attributes: object) -> list[Dataset]:
    options: dict[str, object] = {"slices": 4, "study_instance_uid": STUDY, "gap": 1.0}
    return mr_slices(**(options | attributes))


def test_a_late_image_starts_a_run_that_supersedes_the_finished_one(world: IntakeWorld) -> None:
    *images, late = head()
    world.receive(images)
    world.pass_time(QUIET)
    (first,) = world.jobs()
    values.finish(world.store, now=world.clock.now())
    world.receive([late])
    world.pass_time(SECOND)
    assert world.state() is RouteState.OPEN
    assert len(world.jobs()) == 1  # others may follow
    world.pass_time(QUIET)
    _, second = world.jobs()
    assert (second.run_number, second.supersedes) == (2, first.job_id)
    assert len(second.inputs) == 4
    assert second.run_uid != first.run_uid
    assert world.events().count(Event.ROUTE_LATE) == 1
    world.pass_time(timedelta(hours=3))
    assert len(world.jobs()) == 2
    assert world.store.studies.dirty() == ()


def test_a_run_that_is_not_finished_is_cancelled_when_the_later_one_is_queued(
    world: IntakeWorld,
) -> None:
    *images, late = head()
    world.receive(images)
    world.pass_time(QUIET)
    world.receive([late])
    world.pass_time(SECOND)
    assert [job.state for job in world.jobs()] == [JobState.QUEUED]
    world.pass_time(QUIET)
    first, second = world.jobs()
    assert (first.state, second.state) == (JobState.CANCELLED, JobState.QUEUED)
    assert second.supersedes is None  # nothing was made that it replaces
    assert first.reason == "superseded by a run with late images"


def test_other_series_and_what_is_no_image_run_nothing_again(world: IntakeWorld) -> None:
    images = head()
    world.receive(images)
    world.pass_time(QUIET)
    values.finish(world.store, now=world.clock.now())
    world.receive([encapsulated_pdf(StudyInstanceUID=STUDY)])
    world.receive(head(MRAcquisitionType="2D"))
    world.pass_time(QUIET * 2)
    assert world.state() is RouteState.CLOSED
    assert len(world.jobs()) == 1
    assert Event.ROUTE_LATE not in world.events()


def test_by_default_late_images_are_told_and_run_nothing(world: IntakeWorld) -> None:
    world.use(plan())
    *images, late = head()
    world.receive(images)
    world.pass_time(QUIET)
    world.receive([late])
    world.pass_time(QUIET)
    assert world.state() is RouteState.CLOSED
    assert len(world.jobs()) == 1
    assert world.events().count(Event.ROUTE_LATE) == 1


def test_a_late_image_that_the_later_run_left_out_starts_no_third(world: IntakeWorld) -> None:
    thinnest = one_pipeline(spec("t1", {"MRAcquisitionType": "3D"}, [{"lowest": "SliceThickness"}]))
    plans = (plan(late=Late.RERUN), plan(route=route({"Modality": "MR"}, name="second")))
    world.store.controls.pause("route", "second", "anna")  # so that the study stays of interest
    world.use(*plans, inputs=thinnest["brain-mr"])
    *images, late = head()
    world.receive(images)
    world.pass_time(QUIET)
    world.receive([late, *head(gap=0.5, slices=2)])
    world.pass_time(SECOND)
    world.pass_time(QUIET)
    assert [len(job.inputs) for job in world.jobs()] == [3, 2]
    world.restart()
    world.pass_time(QUIET)
    assert world.state() is RouteState.CLOSED
    reasons = [one.fields["reason"] for one in world.store.events.of_study(STUDY)]
    assert [str(one).endswith("the route runs again") for one in reasons] == [True, False]


def test_a_person_may_ask_for_a_run_with_what_came_late_but_for_none_without(
    world: IntakeWorld,
) -> None:
    world.use(plan())
    *images, late = head()
    world.receive(images)
    world.pass_time(QUIET)
    world.store.routes.run_again(STUDY, "brain", "asked for by anna")
    world.pass_time(QUIET)
    assert (world.state(), len(world.jobs())) == (RouteState.CLOSED, 1)
    world.receive([late])
    world.pass_time(QUIET)
    world.store.routes.run_again(STUDY, "brain", "asked for by anna")
    world.pass_time(QUIET)
    assert [len(job.inputs) for job in world.jobs()] == [3, 4]


def test_a_failed_run_is_not_tried_again_once_a_later_one_has_its_place(
    world: IntakeWorld,
) -> None:
    *images, late = head()
    world.receive(images)
    world.pass_time(QUIET)
    claim = values.claim(world.store, now=world.clock.now())
    world.store.jobs.fail(claim, JobEvent.FAIL_PERMANENT, "no", None, {}, world.clock.now())
    world.receive([late])
    world.pass_time(SECOND)
    world.pass_time(QUIET)
    assert len(world.jobs()) == 2
    with pytest.raises(IllegalTransition, match="later run"):
        world.store.commands.retry(claim.job_id)
