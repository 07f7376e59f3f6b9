"""What crosses tables: queued, done, and what people ask for."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from appliance.core.errors import IllegalTransition, StaleClaim, StoreError
from appliance.core.model import Measurement, PipelineResult
from appliance.core.states import DeliveryState, JobEvent, JobState, RouteState
from appliance.core.uids import uid_from_name
from appliance.wiring.lookout import not_isolated
from results_store.commands import CompletedRun, EndedRun
from results_store.jobs import SendTo
from results_store.store import Store
from tests.store import world
from tests.store.world import LEASE, MILLILITRE, START, STUDY, VOLUME, decision, new_run


def test_a_run_is_queued_with_its_decision_and_its_frozen_inputs(store: Store) -> None:
    run = new_run()
    (job,) = store.commands.submit_runs(STUDY, decision(), "quiet", (run,), START)
    assert (job.run_number, job.supersedes, job.inputs) == (1, None, run.inputs)
    assert job.run_uid == uid_from_name(STUDY, "brain", "brain-mr", "d" * 64, "1")
    assert store.jobs.sends(job.job_id) == run.send
    assert store.jobs.feedback_form(job.job_id) == "brain-volumes"
    assert store.routes.of_study(STUDY)[0].state is RouteState.CLOSED
    assert store.decisions.of_study(STUDY)[0].signal == "quiet"


def test_submitting_twice_queues_once(store: Store) -> None:
    store.commands.submit_runs(STUDY, decision(), "quiet", (new_run(),), START)
    assert store.commands.submit_runs(STUDY, decision(), "quiet", (new_run(),), START) == ()
    assert len(store.jobs.of_study(STUDY)) == 1
    assert len(store.decisions.of_study(STUDY)) == 1


def test_a_submission_that_breaks_off_leaves_nothing(store: Store) -> None:
    broken = new_run(pipeline_version=None)
    with pytest.raises(StoreError):
        store.commands.submit_runs(STUDY, decision(), "quiet", (new_run(), broken), START)
    assert store.jobs.of_study(STUDY) == ()
    assert store.routes.of_study(STUDY) == ()
    assert store.decisions.of_study(STUDY) == ()


def test_a_completed_run_is_there_with_its_deliveries(store: Store) -> None:
    both = SendTo(destination="pacs", objects=("sr", "seg"))
    one = SendTo(destination="archive", objects=("sr",))
    world.submit(store, send=(both, one))
    job = world.finish(store)
    assert (job.state, job.device, job.seconds) == (JobState.DONE, "cpu", {"infer": 1.5})
    assert (job.finished_at, job.progress) == (START, 1.0)
    outbox = store.deliveries.of_study(STUDY)
    assert {(item.destination, item.result.kind) for item in outbox} == {
        ("pacs", "sr"),
        ("pacs", "seg"),
        ("archive", "sr"),
    }
    assert {item.state for item in outbox} == {DeliveryState.PENDING}
    assert {item.patient_key for item in outbox} == {"k" * 64}


@pytest.mark.parametrize("gaps", [None, (), ("open a connection", "change who may use a file")])
def test_a_run_remembers_how_isolated_it_was(store: Store, gaps: tuple[str, ...] | None) -> None:
    world.submit(store)
    claim = world.claim(store)
    store.commands.complete_run(claim, replace(world.completed("2.25.1"), gaps=gaps), START)
    assert store.jobs.get(claim.job_id).gaps == gaps
    told = not_isolated(store)
    assert [line.partition(" in job")[0] for line in told] == ["brain-mr is not isolated:"] * bool(
        gaps
    )
    assert all(str(gap) in told[0] for gap in gaps or ())


def test_a_shadow_run_leaves_the_outbox_empty(store: Store) -> None:
    world.submit(store, send=())
    job = world.finish(store)
    assert len(store.results.objects(job.job_id)) == 2
    assert store.deliveries.list() == ()


def test_one_destination_named_twice_gets_one_copy(store: Store) -> None:
    first = SendTo(destination="pacs", objects=("sr",))
    second = SendTo(destination="pacs", objects=("sr", "seg"))
    job = world.submit(store, send=(first, second))
    world.finish(store)
    assert store.jobs.sends(job.job_id) == (SendTo(destination="pacs", objects=("sr", "seg")),)
    assert len(store.deliveries.list()) == 2


def test_a_run_completes_once(store: Store) -> None:
    world.submit(store)
    claim = world.claim(store)
    store.commands.complete_run(claim, world.completed("1.9"), START)
    with pytest.raises(StaleClaim):
        store.commands.complete_run(claim, world.completed("1.8"), START)
    assert len(store.results.objects(claim.job_id)) == 2


def test_a_completion_that_breaks_off_leaves_the_job_running(store: Store) -> None:
    world.submit(store)
    claim = world.claim(store)
    twice = world.result_object("sr", "1.9.1")
    broken = CompletedRun(
        result=world.result(), objects=(twice, twice), device="cpu", seconds={}, patient_key=None
    )
    with pytest.raises(StoreError):
        store.commands.complete_run(claim, broken, START)
    assert store.jobs.get(claim.job_id).state is JobState.RUNNING
    assert store.results.findings(claim.job_id) == ()
    store.commands.complete_run(claim, world.completed("1.9"), START)


def test_a_number_that_is_none_never_becomes_a_result(store: Store) -> None:
    world.submit(store)
    claim = world.claim(store)
    (finding, *_) = world.result().findings
    odd = Measurement(concept=VOLUME, value=float("nan"), unit=MILLILITRE)
    changed: dict[str, Any] = {
        name: getattr(finding, name) for name in finding.__dataclass_fields__
    } | {"measurements": (odd,)}
    result = PipelineResult(findings=(type(finding)(**changed),), segments=(), features=())
    completed = CompletedRun(result=result, objects=(), device=None, seconds={}, patient_key=None)
    with pytest.raises(StoreError, match="finite"):
        store.commands.complete_run(claim, completed, START)
    assert store.jobs.get(claim.job_id).state is JobState.RUNNING


def test_a_resubmitted_run_is_new_and_names_the_one_it_supersedes(store: Store) -> None:
    world.submit(store)
    first = world.finish(store)
    later = START + timedelta(days=1)
    second = store.commands.resubmit(first.job_id, later)
    assert (second.run_number, second.supersedes) == (2, first.job_id)
    assert (second.state, second.created_at) == (JobState.QUEUED, later)
    assert second.run_uid != first.run_uid
    assert second.inputs == first.inputs
    assert store.jobs.sends(second.job_id) == store.jobs.sends(first.job_id)
    world.finish(store, now=later)
    third = store.commands.resubmit(first.job_id, later)
    assert (third.run_number, third.supersedes) == (3, second.job_id)


def test_only_one_unfinished_run_of_a_pipeline_at_a_time(store: Store) -> None:
    world.submit(store)
    first = world.finish(store)
    second = store.commands.resubmit(first.job_id, START)
    with pytest.raises(IllegalTransition, match=f"job {second.job_id}"):
        store.commands.resubmit(first.job_id, START)


def test_a_refused_or_cancelled_job_can_be_submitted_again_and_supersedes_nothing(
    store: Store,
) -> None:
    job = world.submit(store)
    store.jobs.fail(world.claim(store), JobEvent.REFUSE, "a knee", None, {}, START)
    second = store.commands.resubmit(job.job_id, START)
    assert second.supersedes is None
    store.commands.cancel(second.job_id)
    assert store.commands.resubmit(second.job_id, START).run_number == 3


def test_unfinished_and_failed_jobs_are_not_resubmitted(store: Store) -> None:
    job = world.submit(store)
    with pytest.raises(IllegalTransition, match="queued"):
        store.commands.resubmit(job.job_id, START)
    store.jobs.fail(world.claim(store), JobEvent.FAIL_PERMANENT, "broken", None, {}, START)
    with pytest.raises(IllegalTransition, match="retry it"):
        store.commands.resubmit(job.job_id, START)


def test_a_retried_job_keeps_its_uids_and_counts_on(store: Store) -> None:
    job = world.submit(store)
    store.jobs.fail(world.claim(store), JobEvent.FAIL_PERMANENT, "broken", None, {}, START)
    retried = store.commands.retry(job.job_id)
    assert (retried.state, retried.run_uid, retried.reason) == (JobState.QUEUED, job.run_uid, "")
    again = store.jobs.claim("w2", ("brain-mr",), LEASE, START)
    assert again is not None
    assert again.attempt == 2


def test_a_done_job_is_neither_retried_nor_cancelled(store: Store) -> None:
    world.submit(store)
    job = world.finish(store)
    with pytest.raises(IllegalTransition):
        store.commands.retry(job.job_id)
    with pytest.raises(IllegalTransition):
        store.commands.cancel(job.job_id)


def test_a_cancelled_jobs_worker_learns_it_and_commits_nothing(store: Store) -> None:
    world.submit(store)
    claim = world.claim(store)
    assert store.commands.cancel(claim.job_id).state is JobState.CANCELLED
    assert not store.jobs.heartbeat(claim, LEASE, 0.5, "infer", START)
    with pytest.raises(StaleClaim):
        store.commands.complete_run(claim, world.completed("1.9"), START)
    assert store.deliveries.list() == ()


def test_a_run_beside_the_queue_is_recorded_whole(store: Store) -> None:
    uid = store.commands.next_run_uid(world.STUDY, "cohort:pilot", "brain-mr", "d" * 64)
    run = world.new_run(send=())
    done = world.completed(uid)
    first = store.commands.record_run(world.STUDY, "cohort:pilot", run, done, "me", START)
    assert (first.run_uid, first.run_number, first.state) == (uid, 1, JobState.DONE)
    moves = [(move.before, move.after) for move in store.jobs.log(first.job_id)]
    assert moves == [(JobState.QUEUED, JobState.RUNNING), (JobState.RUNNING, JobState.DONE)]
    refused = EndedRun(event=JobEvent.REFUSE, reason="a knee", seconds={"read": 1.0})
    second = store.commands.record_run(world.STUDY, "cohort:pilot", run, refused, "me", START)
    assert (second.run_number, second.supersedes) == (2, first.job_id)
    assert (second.state, second.reason) == (JobState.REFUSED, "a knee")
    with pytest.raises(IllegalTransition, match="is of a cohort"):
        store.commands.resubmit(first.job_id, START)
