"""From files in the spool to queued jobs, on the real spool and the real store."""

from datetime import timedelta
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from appliance.core.errors import PeerError
from appliance.core.log import Event
from appliance.core.product import APPLIANCE_DEVICE_UID
from appliance.core.states import RouteState
from appliance.intake.completion import Signal
from appliance.intake.options import Backfill, Ceiling, CompleteOptions
from results_store.store import Store
from tests.builders import ct_slices, encapsulated_pdf, mr_slices
from tests.store.intake_world import STUDY, IntakeWorld, plan
from tests.store.world import SteppedClock
from tests.summaries import one_pipeline, route, spec

QUIET = timedelta(seconds=30)
CEILING = timedelta(hours=2)


@pytest.fixture
def world(tmp_path: Path, store: Store, clock: SteppedClock) -> IntakeWorld:
    return IntakeWorld(tmp_path / "spool", store, clock)


def head(**attributes: object) -> list[Dataset]:
    options: dict[str, object] = {"slices": 3, "study_instance_uid": STUDY, "gap": 1.0}
    return mr_slices(**(options | attributes))


def test_a_matching_study_is_queued_after_the_quiet_time_with_its_frozen_inputs(
    world: IntakeWorld,
) -> None:
    images = head()
    names = world.receive(images)
    pause = world.step()
    assert world.state() is RouteState.OPEN
    assert world.jobs() == ()
    assert timedelta(0) < pause <= timedelta(seconds=1)
    world.pass_time(QUIET)
    (job,) = world.jobs()
    assert (job.pipeline, job.pipeline_version, job.pipeline_digest) == ("brain-mr", "1", "d" * 64)
    assert [item.spool_name for item in job.inputs] == list(names)
    assert [item.sop_instance_uid for item in job.inputs] == [one.SOPInstanceUID for one in images]
    assert {item.input_name for item in job.inputs} == {"t1"}
    assert [send.destination for send in world.store.jobs.sends(job.job_id)] == ["pacs"]
    assert world.decision().matched
    assert world.woken == ["work"]
    assert world.store.studies.dirty() == ()


def test_the_next_look_is_due_exactly_when_the_quiet_time_ends(world: IntakeWorld) -> None:
    world.receive(head())
    world.step()
    world.clock.advance(QUIET - timedelta(milliseconds=400))
    assert world.step() == timedelta(milliseconds=400)


def test_a_study_that_meets_nothing_ends_with_a_decision_that_says_why(
    world: IntakeWorld,
) -> None:
    world.receive(ct_slices(slices=2, study_instance_uid=STUDY, SeriesNumber=3))
    world.pass_time(QUIET)
    assert world.state() is RouteState.CLOSED
    assert world.jobs() == ()
    assert not world.decision().matched
    assert "closest was series 3 'chest 1.0': Modality is CT, not MR" in world.decision().summary


def test_a_later_image_opens_a_route_that_closed_without_a_job(world: IntakeWorld) -> None:
    world.receive(ct_slices(slices=2, study_instance_uid=STUDY))
    world.pass_time(QUIET)
    world.receive(head())
    world.pass_time(timedelta(seconds=2))
    assert world.state() is RouteState.OPEN
    world.pass_time(QUIET)
    assert len(world.jobs()) == 1
    assert [one.decision.matched for one in world.store.decisions.of_study(STUDY)] == [False, True]


def test_each_new_image_of_the_chosen_series_extends_the_wait(world: IntakeWorld) -> None:
    first, second, third = head()
    for image in (first, second):
        world.receive([image])
        world.pass_time(QUIET - timedelta(seconds=1))
    assert world.jobs() == ()
    world.receive([third])
    world.pass_time(QUIET)
    (job,) = world.jobs()
    assert len(job.inputs) == 3


def test_other_series_and_what_is_no_image_do_not_extend_the_wait(world: IntakeWorld) -> None:
    world.receive(head())
    world.pass_time(QUIET - timedelta(seconds=1))
    world.receive(head(MRAcquisitionType="2D", gap=5.0))
    world.receive([encapsulated_pdf(StudyInstanceUID=STUDY)])
    world.pass_time(timedelta(seconds=1))
    assert len(world.jobs()) == 1


def test_a_missing_required_input_holds_the_route_at_the_ceiling(world: IntakeWorld) -> None:
    world.receive(head(MRAcquisitionType="2D"))
    world.pass_time(CEILING - timedelta(seconds=1))
    assert world.state() is RouteState.OPEN
    assert world.status().reason == "no series for brain-mr/t1"
    world.pass_time(timedelta(seconds=1))
    assert world.state() is RouteState.HELD
    assert world.decision().summary.startswith("held: no series for brain-mr/t1; not run: no")
    assert not world.decision().matched
    world.receive(head())
    world.pass_time(QUIET)
    assert len(world.jobs()) == 1


def test_images_after_the_jobs_are_told_as_late_and_start_nothing(world: IntakeWorld) -> None:
    first, second, late = head()
    world.receive([first, second])
    world.pass_time(QUIET)
    world.receive(head(MRAcquisitionType="2D"))
    world.pass_time(timedelta(seconds=2))
    assert Event.ROUTE_LATE not in world.events()
    world.receive([late])
    world.pass_time(timedelta(hours=3))
    assert world.events().count(Event.ROUTE_LATE) == 1
    (job,) = world.jobs()
    assert len(job.inputs) == 2
    assert world.store.studies.dirty() == ()


def test_a_count_from_the_pacs_delays_and_is_asked_again_only_now_and_then(
    world: IntakeWorld,
) -> None:
    images = head()
    answers = {images[0].SeriesInstanceUID: 3}
    world.ask("pacs", lambda _uid: answers)
    asks = CompleteOptions(quiet=QUIET, at_most=CEILING, query="pacs")
    world.use(plan(complete=asks), plan(complete=asks, route=route(name="second")))
    world.receive(images[:2])
    world.pass_time(QUIET - timedelta(seconds=1))
    assert world.asked == []
    for _ in range(30):
        world.pass_time(timedelta(seconds=1))
    assert len(world.asked) == 2
    assert world.status().reason == "series 1 't1 mprage' has 2 of 3 instances"
    world.receive(images[2:])
    world.pass_time(QUIET)
    assert len(world.jobs()) == 2
    assert world.status().signal == Signal.COUNTS


def test_a_pacs_that_does_not_answer_delays_nothing_and_the_decision_says_so(
    world: IntakeWorld,
) -> None:
    def refuses(_uid: str) -> dict[str, int | None]:
        raise PeerError("pacs is not reachable")

    world.ask("pacs", refuses)
    world.use(plan(complete=CompleteOptions(quiet=QUIET, at_most=CEILING, query="pacs")))
    world.receive(head())
    world.pass_time(QUIET)
    assert len(world.jobs()) == 1
    assert world.decision().summary.endswith("pacs did not say how many images there are")


def test_announced_images_that_never_come_hold_the_route_or_proceed_with_a_note(
    world: IntakeWorld,
) -> None:
    proceed = CompleteOptions(quiet=QUIET, at_most=CEILING, then=Ceiling.PROCEED)
    world.use(plan(), plan(route=route({"Modality": "MR"}, name="second"), complete=proceed))
    world.receive(head(ImagesInAcquisition=5))
    world.pass_time(CEILING - timedelta(seconds=1))
    assert world.jobs() == ()
    world.pass_time(timedelta(seconds=1))
    assert world.state("brain") is RouteState.HELD
    assert world.state("second") is RouteState.CLOSED
    assert [job.route for job in world.jobs()] == ["second"]
    assert world.decision("second").summary.endswith("series 1 't1 mprage' has 3 of 5 images")
    assert world.status("second").signal == Signal.CEILING


@pytest.mark.parametrize(
    ("backfill", "jobs", "sends"),
    [(Backfill.SKIP, 0, 0), (Backfill.SHADOW, 1, 0), (Backfill.SEND, 1, 1)],
)
def test_an_old_study_is_handled_as_the_route_says(
    world: IntakeWorld, backfill: Backfill, jobs: int, sends: int
) -> None:
    world.use(plan(max_age=timedelta(days=2), backfill=backfill))
    world.receive(head(StudyDate="20070404"))
    world.pass_time(QUIET)
    queued = world.jobs()
    assert len(queued) == jobs
    assert sum(len(world.store.jobs.sends(job.job_id)) for job in queued) == sends
    assert "the study is from 2007-04-04, older than 2 d" in world.decision().summary
    assert world.decision().matched is bool(jobs)


def test_a_paused_route_stays_open_and_goes_on_when_resumed(world: IntakeWorld) -> None:
    world.store.controls.pause("route", "brain", "anna")
    world.receive(head())
    world.pass_time(timedelta(hours=3))
    assert world.state() is RouteState.OPEN
    assert world.status().reason == "the route is paused"
    world.store.controls.resume("route", "brain")
    world.step()
    assert len(world.jobs()) == 1


def test_a_route_that_left_the_settings_is_closed(world: IntakeWorld) -> None:
    world.receive(head())
    world.step()
    world.use(plan(route=route({"Modality": "CT"}, name="other")))
    world.pass_time(QUIET)
    assert world.state("brain") is RouteState.CLOSED
    assert world.decision("brain").summary == "not run: the settings no longer have this route"
    assert world.jobs() == ()


def test_one_bad_study_stops_no_other(world: IntakeWorld) -> None:
    broken = "1.2.3.9"
    (name, *_) = world.receive(head(study_instance_uid=broken))
    world.receive(head())
    world.step()
    world.spool.path(name).unlink()
    world.restart()
    world.pass_time(QUIET)
    assert len(world.jobs()) == 1
    assert world.jobs(broken) == ()
    assert broken in world.store.studies.dirty()


def test_a_study_that_could_not_be_looked_at_is_tried_again(world: IntakeWorld) -> None:
    (name, *_) = world.receive(head())
    world.step()
    path = world.spool.path(name)
    path.rename(path.with_suffix(".away"))
    world.pass_time(QUIET)
    assert world.jobs() == ()
    path.with_suffix(".away").rename(path)
    world.pass_time(QUIET)
    assert len(world.jobs()) == 1


def own_object() -> Dataset:
    dataset, device = mr_slices(slices=1, study_instance_uid=STUDY)[0], Dataset()
    device.DeviceUID = APPLIANCE_DEVICE_UID
    dataset.ContributingEquipmentSequence = Sequence([device])
    return dataset


def test_our_own_objects_start_nothing_and_extend_nothing(world: IntakeWorld) -> None:
    world.receive([own_object()])
    world.pass_time(QUIET)
    assert world.store.studies.get(STUDY) is None
    assert Event.INSTANCE_OWN in world.events()
    world.receive(head())
    world.pass_time(QUIET - timedelta(seconds=1))
    world.receive([own_object()])
    world.pass_time(timedelta(seconds=1))
    (job,) = world.jobs()
    assert len(job.inputs) == 3


def test_a_restart_between_two_looks_loses_no_study(world: IntakeWorld) -> None:
    world.receive(head())
    world.step()
    world.restart()
    world.pass_time(QUIET)
    world.restart()
    world.step()
    assert len(world.jobs()) == 1
    assert len(world.store.decisions.of_study(STUDY)) == 1


def test_two_inputs_become_one_job_with_both(world: IntakeWorld) -> None:
    wants = one_pipeline(
        spec("t1", {"MRAcquisitionType": "3D"}), spec("flair", {"MRAcquisitionType": "2D"})
    )
    world.use(plan(), inputs=wants["brain-mr"])
    world.receive(head(slices=2))
    world.pass_time(timedelta(hours=1))
    assert world.jobs() == ()
    world.receive(head(slices=1, MRAcquisitionType="2D"))
    world.pass_time(QUIET)
    (job,) = world.jobs()
    assert [item.input_name for item in job.inputs] == ["t1", "t1", "flair"]


def two_routes(world: IntakeWorld) -> None:
    world.use(plan(), plan(route=route({"Modality": "MR"}, name="second")))


def test_a_study_that_fails_lets_the_orchestrator_rest(world: IntakeWorld) -> None:
    two_routes(world)
    (name, *_) = world.receive(head())
    world.step()
    path = world.spool.path(name)
    path.rename(path.with_suffix(".away"))
    world.clock.advance(QUIET)
    assert world.step() == timedelta(seconds=1)
    assert world.step() == timedelta(seconds=1)


def test_a_route_that_is_due_while_images_stream_in_lets_the_orchestrator_rest(
    world: IntakeWorld,
) -> None:
    images = head()
    world.receive(images[:2])
    world.step()
    world.clock.advance(QUIET - timedelta(milliseconds=100))
    world.receive([ct_slices(slices=1, study_instance_uid=STUDY)[0]])
    world.step()
    world.clock.advance(timedelta(milliseconds=200))
    world.receive([ct_slices(slices=1, study_instance_uid=STUDY)[0]])
    assert world.step() == timedelta(milliseconds=800)
    world.clock.advance(timedelta(milliseconds=800))
    world.step()
    assert len(world.jobs()) == 1


def test_a_study_that_stays_unreadable_is_held_at_the_ceiling_and_left_alone(
    world: IntakeWorld,
) -> None:
    two_routes(world)
    (name, *_) = world.receive(head())
    world.step()
    world.spool.path(name).unlink()
    world.restart()
    world.pass_time(CEILING - timedelta(seconds=31))
    assert world.state() is RouteState.OPEN
    world.pass_time(timedelta(seconds=31))
    assert world.state("brain") is world.state("second") is RouteState.HELD
    assert "cannot be read" in world.decision().summary
    assert world.store.studies.dirty() == ()
    assert world.jobs() == ()


def test_an_old_study_with_one_object_that_says_no_date_is_still_old(world: IntakeWorld) -> None:
    world.use(plan(max_age=timedelta(days=2)))
    world.receive(head(StudyDate="20070404"))
    undated = encapsulated_pdf(StudyInstanceUID=STUDY)
    undated.pop("StudyDate", None)
    world.receive([undated])
    world.pass_time(QUIET)
    assert world.jobs() == ()
    assert "older than 2 d" in world.decision().summary
