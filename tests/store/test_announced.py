"""Procedure steps, notifications, people and counts move routes: real spool, real store."""

from datetime import timedelta
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from appliance.core.errors import IllegalTransition, StoreError
from appliance.core.states import RouteState
from appliance.intake.completion import Signal
from appliance.intake.options import CompleteOptions
from results_store.announcements import Announced
from results_store.store import Store
from tests.announcements import available, discontinued_because, ended_step, new_step
from tests.builders import mr_slices
from tests.store.intake_world import STUDY, IntakeWorld, plan
from tests.store.world import SteppedClock

QUIET = timedelta(seconds=30)
CEILING = timedelta(hours=2)
SECOND = timedelta(seconds=1)


@pytest.fixture
def world(tmp_path: Path, store: Store, clock: SteppedClock) -> IntakeWorld:
    return IntakeWorld(tmp_path / "spool", store, clock)


def head(**attributes: object) -> list[Dataset]:
    options: dict[str, object] = {"slices": 3, "study_instance_uid": STUDY, "gap": 1.0}
    return mr_slices(**(options | attributes))


def listing(*series: list[Dataset]) -> dict[str, list[str]]:
    return {one[0].SeriesInstanceUID: [image.SOPInstanceUID for image in one] for one in series}


def signals(world: IntakeWorld) -> list[str]:
    return [one.signal for one in world.store.decisions.of_study(STUDY)]


def test_a_step_completed_before_its_last_image_closes_when_that_image_is_here(
    world: IntakeWorld,
) -> None:
    images = head()
    world.create_step(new_step(STUDY))
    world.receive(images[:2])
    world.pass_time(SECOND)
    world.set_step(ended_step(listing(images)))
    world.pass_time(QUIET * 2)
    assert world.jobs() == ()
    assert world.status().reason.endswith("lacks 1 of 3 images that were announced")
    world.receive(head(MRAcquisitionType="2D"))
    world.step()
    world.receive(images[2:])
    world.pass_time(SECOND / 5)  # what may be the last one that was listed is looked at soon
    (job,) = world.jobs()
    assert len(job.inputs) == 3
    assert signals(world) == [Signal.MPPS]
    assert world.notices.names() == ()


def test_a_step_in_progress_delays_and_its_end_closes_at_once(world: IntakeWorld) -> None:
    images = head()
    world.create_step(new_step(STUDY))
    world.receive(images)
    world.pass_time(QUIET * 4)
    assert world.status().reason == "a procedure step is in progress"
    world.set_step(ended_step(listing(images)))
    world.step()
    assert len(world.jobs()) == 1
    assert signals(world) == [Signal.MPPS]


def test_a_discontinued_step_holds_and_a_person_may_let_it_go_on(world: IntakeWorld) -> None:
    images = head()
    world.create_step(new_step(STUDY))
    world.receive(images)
    why = discontinued_because("110513", "Discontinued for unspecified reason")
    changes = {"PerformedProcedureStepDiscontinuationReasonCodeSequence": why}
    world.set_step(ended_step(listing(images), "DISCONTINUED", **changes))
    world.pass_time(QUIET)
    assert world.state() is RouteState.HELD
    assert world.status().reason == "a procedure step was discontinued (110513 DCM)"
    world.store.routes.release(STUDY, "brain", "anna")
    world.step()
    assert len(world.jobs()) == 1
    assert signals(world) == ["held", Signal.RELEASED]
    assert world.decision().summary.endswith("released by anna")
    assert world.status().released_by is None
    with pytest.raises(IllegalTransition, match="is closed"):
        world.store.routes.release(STUDY, "brain", "anna")
    with pytest.raises(StoreError, match="has no route"):
        world.store.routes.release(STUDY, "chest", "anna")


def test_a_route_that_is_held_opens_when_the_step_is_completed_after_all(
    world: IntakeWorld,
) -> None:
    images = head()
    world.create_step(new_step(STUDY))
    world.receive(images)
    world.pass_time(CEILING)
    assert world.state() is RouteState.HELD
    world.pass_time(timedelta(hours=5))
    world.set_step(ended_step(listing(images)))
    world.step()
    assert len(world.jobs()) == 1


def test_a_notification_closes_and_the_same_again_holds_nothing_up(world: IntakeWorld) -> None:
    images = head()
    world.notify(available(STUDY, listing(images)))
    world.receive(images[:2])
    world.step()
    world.notify(available(STUDY, listing(images)))
    world.receive(images[2:])
    world.pass_time(SECOND)
    assert len(world.jobs()) == 1
    assert signals(world) == [Signal.IAN]
    assert len(world.store.announcements.of_study(STUDY)) == 1


def test_two_steps_of_a_study_are_told_apart(world: IntakeWorld) -> None:
    images, other = head(), head(MRAcquisitionType="2D")
    world.create_step(new_step(STUDY), "1.2.3.9")
    world.create_step(new_step(STUDY, "1.2.3.77"), "1.2.3.10")  # of two studies
    world.receive(images)
    world.receive(other[:1])
    world.set_step(ended_step(listing(other)), "1.2.3.10")
    world.pass_time(QUIET * 2)
    assert world.jobs() == ()  # the other one goes on
    world.set_step(ended_step(listing(images)), "1.2.3.9")
    world.step()
    assert len(world.jobs()) == 1
    states = {one.sop_instance_uid: one.state for one in world.store.announcements.of_study(STUDY)}
    assert states == {"1.2.3.9": Announced.COMPLETED, "1.2.3.10": Announced.COMPLETED}
    assert len(world.store.announcements.of_study("1.2.3.77")) == 1


def test_a_notice_of_no_use_is_put_aside_and_stops_no_other(world: IntakeWorld) -> None:
    images = head()
    world.set_step(ended_step(listing(images)), "1.2.3.404")  # was never created
    world.create_step(Dataset())
    world.notify(available(STUDY, listing(images)))
    (first, *_) = world.notices.names()
    world.receive(images)
    world.step()
    assert len(world.jobs()) == 1
    assert len(world.notices.quarantined()) == 2
    folder = world.spool_root / "quarantine"
    assert "never created" in (folder / f"{first}.notice.txt").read_text()


def test_a_step_told_twice_after_a_crash_changes_nothing(world: IntakeWorld) -> None:
    images = head()
    for _ in range(2):
        world.create_step(new_step(STUDY))
    for _ in range(2):
        world.set_step(ended_step(listing(images)))
    world.step()
    world.create_step(new_step(STUDY))  # told again, late: it stays completed
    world.receive(images)
    world.step()
    assert signals(world) == [Signal.MPPS]


def test_what_was_announced_long_ago_is_forgotten(world: IntakeWorld) -> None:
    world.create_step(new_step(STUDY))
    world.step()
    world.clock.advance(timedelta(days=29))
    world.notify(available(STUDY, listing(head())))
    world.step()
    assert len(world.store.announcements.of_study(STUDY)) == 2
    world.clock.advance(timedelta(days=2))
    world.step()
    assert [one.state for one in world.store.announcements.of_study(STUDY)] == [Announced.AVAILABLE]


def test_a_held_route_opens_when_the_peer_counts_as_many_as_are_here(world: IntakeWorld) -> None:
    images = head()
    answers = {images[0].SeriesInstanceUID: 4}
    world.ask("pacs", lambda _uid: answers)
    asks = CompleteOptions(quiet=QUIET, at_most=CEILING, query="pacs")
    world.use(plan(complete=asks))
    world.receive(images)
    world.pass_time(CEILING)
    assert world.state() is RouteState.HELD
    world.pass_time(timedelta(minutes=6))
    assert world.state() is RouteState.HELD
    answers[images[0].SeriesInstanceUID] = 3  # one was rejected at the PACS
    world.pass_time(timedelta(minutes=6))
    assert len(world.jobs()) == 1
    assert signals(world) == ["held", Signal.COUNTS]
