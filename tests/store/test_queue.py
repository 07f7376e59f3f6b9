"""The durable queue: who gets which job, and who still holds it."""

from datetime import timedelta

import pytest

from appliance.core.backoff import Backoff
from appliance.core.errors import IllegalTransition, StaleClaim, StoreError
from appliance.core.model import Job, Priority
from appliance.core.states import JOB_TRANSITIONS, JobEvent, JobState
from results_store.job_rows import lock_job, move_job
from results_store.schema.queue import job as job_table
from results_store.store import Store
from tests.store import world
from tests.store.world import LEASE, START

BACKOFF = Backoff(first=timedelta(seconds=10), longest=timedelta(minutes=5), attempts=2)
MINE = ("brain-mr",)


def take(store: Store, worker: str = "w1") -> Job | None:
    return store.jobs.claim(worker, MINE, LEASE, START)


def test_a_claimed_job_is_running_and_nobody_elses(store: Store) -> None:
    queued = world.submit(store)
    assert (queued.state, queued.attempt, queued.worker) == (JobState.QUEUED, 0, None)
    running = take(store)
    assert running is not None
    assert (running.state, running.attempt, running.worker) == (JobState.RUNNING, 1, "w1")
    assert running.inputs == queued.inputs
    assert take(store, "w2") is None


def test_a_worker_gets_only_jobs_of_pipelines_that_it_has(store: Store) -> None:
    world.submit(store)
    assert store.jobs.claim("w1", ("chest-ct",), LEASE, START) is None
    assert store.jobs.claim("w1", (), LEASE, START) is None
    assert store.jobs.claim("w1", ("chest-ct", "brain-mr"), LEASE, START) is not None


def test_a_job_waits_for_its_time(store: Store) -> None:
    due = START + timedelta(minutes=1)
    world.submit(store, run_after=due)
    assert take(store) is None
    assert store.jobs.next_due(START) == due
    assert store.jobs.next_due(due) is None
    assert store.jobs.claim("w1", MINE, LEASE, due) is not None


def submit_with(store: Store, number: int, priority: Priority) -> Job:
    now = START + timedelta(seconds=number)
    return world.submit(store, f"1.2.{number}", priority=priority, now=now)


def test_who_looks_ahead_sees_what_the_next_claim_takes_and_takes_nothing(store: Store) -> None:
    wanted = (Priority.ROUTINE, Priority.ROUTINE, *[Priority.STAT] * 4)
    for number, priority in enumerate(wanted):
        submit_with(store, number, priority)
    for _ in wanted:  # the fourth claim goes by age alone
        seen, taken = store.jobs.peek(MINE, START), take(store)
        assert seen is not None
        assert taken is not None
        assert (seen.job_id, seen.state) == (taken.job_id, JobState.QUEUED)
    assert store.jobs.peek(MINE, START) is None
    assert store.jobs.peek((), START) is None


def test_the_more_urgent_job_runs_first_and_of_equals_the_older(store: Store) -> None:
    wanted = (Priority.ROUTINE, Priority.URGENT, Priority.STAT, Priority.STAT)
    jobs = [submit_with(store, number, priority) for number, priority in enumerate(wanted)]
    taken = [take(store) for _ in range(3)]
    assert [job.job_id for job in taken if job] == [jobs[n].job_id for n in (2, 3, 1)]


def test_a_routine_job_does_not_starve_behind_urgent_ones(store: Store) -> None:
    routine = submit_with(store, 0, Priority.ROUTINE)
    for number in range(1, 9):
        submit_with(store, number, Priority.STAT)
    taken = [take(store) for _ in range(4)]
    assert routine.job_id in [job.job_id for job in taken if job]


def test_an_urgent_job_does_not_wait_behind_a_backlog_however_old(store: Store) -> None:
    for number in range(8):
        submit_with(store, number, Priority.ROUTINE)
    stat = submit_with(store, 90000, Priority.STAT)
    taken = [take(store) for _ in range(2)]
    assert stat.job_id in [job.job_id for job in taken if job]


@pytest.mark.parametrize(("kind", "name"), [("route", "brain"), ("pipeline", "brain-mr")])
def test_a_paused_job_waits_without_a_state_of_its_own(store: Store, kind: str, name: str) -> None:
    world.submit(store)
    store.controls.pause(kind, name, "anna")  # type: ignore[arg-type]
    assert take(store) is None
    store.controls.resume(kind, name)  # type: ignore[arg-type]
    assert take(store) is not None


def test_a_pause_stops_only_what_it_names(store: Store) -> None:
    world.submit(store)
    store.controls.pause("route", "brain-mr", "anna")
    store.controls.pause("pipeline", "brain", "anna")
    store.controls.pause("destination", "brain", "anna")
    assert take(store) is not None


def test_a_heartbeat_keeps_the_lease_and_tells_how_far_it_is(store: Store) -> None:
    world.submit(store)
    claim = world.claim(store)
    beat = START + timedelta(seconds=20)
    assert store.jobs.heartbeat(claim, LEASE, 0.5, "infer", beat)
    assert store.jobs.expire_leases(START + timedelta(seconds=40), BACKOFF) == ()
    job = store.jobs.get(claim.job_id)
    assert (job.progress, job.phase) == (0.5, "infer")


def test_a_silent_workers_job_is_tried_again_after_a_delay(store: Store) -> None:
    world.submit(store)
    claim = world.claim(store)
    late = START + timedelta(seconds=31)
    (expired,) = store.jobs.expire_leases(late, BACKOFF)
    assert (expired.state, expired.worker) == (JobState.RETRYING, None)
    assert expired.run_after == late + BACKOFF.first
    assert "w1" in expired.reason
    assert not store.jobs.heartbeat(claim, LEASE, 0.9, "infer", late)
    again = store.jobs.claim("w2", MINE, LEASE, expired.run_after)
    assert again is not None
    assert again.attempt == 2


def test_a_job_whose_last_attempt_fell_silent_fails(store: Store) -> None:
    world.submit(store)
    now = START
    for _ in range(BACKOFF.attempts):
        world.claim(store, now=now)
        now += timedelta(minutes=1)
        (expired,) = store.jobs.expire_leases(now, BACKOFF)
        now = expired.run_after
    assert expired.state is JobState.FAILED
    assert expired.finished_at is not None


def test_a_woken_stale_worker_commits_nothing(store: Store) -> None:
    world.submit(store)
    stale = world.claim(store, "w1")
    (expired,) = store.jobs.expire_leases(START + timedelta(minutes=1), BACKOFF)
    current = world.claim(store, "w2", expired.run_after)
    with pytest.raises(StaleClaim):
        store.commands.complete_run(stale, world.completed("1.9"), START)
    with pytest.raises(StaleClaim):
        store.jobs.fail(stale, JobEvent.FAIL_TRANSIENT, "late", START, {}, START)
    assert not store.jobs.heartbeat(stale, LEASE, 0.9, "infer", START)
    assert store.results.objects(stale.job_id) == ()
    assert store.deliveries.list() == ()
    assert store.jobs.get(stale.job_id).worker == "w2"
    store.commands.complete_run(current, world.completed("1.9"), START)


def test_the_same_worker_name_in_a_later_attempt_is_another_claim(store: Store) -> None:
    world.submit(store)
    stale = world.claim(store, "w1")
    (expired,) = store.jobs.expire_leases(START + timedelta(minutes=1), BACKOFF)
    world.claim(store, "w1", expired.run_after)
    with pytest.raises(StaleClaim):
        store.commands.complete_run(stale, world.completed("1.9"), START)


@pytest.mark.parametrize(
    ("event", "state"),
    [
        (JobEvent.EXHAUST, JobState.FAILED),
        (JobEvent.FAIL_PERMANENT, JobState.FAILED),
        (JobEvent.REFUSE, JobState.REFUSED),
    ],
)
def test_an_attempt_that_ends_the_job_says_why(
    store: Store, event: JobEvent, state: JobState
) -> None:
    world.submit(store)
    store.jobs.fail(world.claim(store), event, "it is a knee", None, {"read": 0.5}, START)
    (job,) = store.jobs.list(state)
    assert (job.reason, job.seconds, job.finished_at) == ("it is a knee", {"read": 0.5}, START)
    assert take(store) is None


def test_a_released_attempt_does_not_count(store: Store) -> None:
    world.submit(store)
    store.jobs.fail(world.claim(store), JobEvent.RELEASE, "the worker stops", None, {}, START)
    again = take(store, "w2")
    assert again is not None
    assert (again.attempt, again.reason) == (1, "")


def test_a_failed_attempt_comes_back_at_its_time(store: Store) -> None:
    world.submit(store)
    later = START + timedelta(seconds=10)
    store.jobs.fail(world.claim(store), JobEvent.FAIL_TRANSIENT, "out of memory", later, {}, START)
    assert take(store) is None
    assert store.jobs.next_due(START) == later
    assert store.jobs.claim("w1", MINE, LEASE, later) is not None


def test_every_move_leaves_a_row(store: Store) -> None:
    job = world.submit(store)
    store.jobs.fail(world.claim(store), JobEvent.RELEASE, "stopping", None, {}, START)
    world.finish(store, "w2")
    moves = [(entry.event, entry.after, entry.worker) for entry in store.jobs.log(job.job_id)]
    assert moves == [
        (JobEvent.CLAIM, JobState.RUNNING, "w1"),
        (JobEvent.RELEASE, JobState.QUEUED, "w1"),
        (JobEvent.CLAIM, JobState.RUNNING, "w2"),
        (JobEvent.COMPLETE, JobState.DONE, "w2"),
    ]


def test_a_job_moves_along_the_table_and_by_nothing_else(store: Store) -> None:
    job_id = world.submit(store).job_id
    for state in JobState:
        for event in JobEvent:
            with store.database.write() as connection:
                connection.execute(job_table.update().values(state=state))
                row = lock_job(connection, job_id)
                after = JOB_TRANSITIONS.get((state, event))
                if after is None:
                    with pytest.raises(IllegalTransition):
                        move_job(connection, row, event, now=START, values={})
                else:
                    assert move_job(connection, row, event, now=START, values={})
                assert lock_job(connection, job_id).state == (after or state)


def test_a_move_from_a_state_that_is_gone_changes_nothing(store: Store) -> None:
    job_id = world.submit(store).job_id
    with store.database.write() as connection:
        row = lock_job(connection, job_id)
    store.commands.cancel(job_id)
    with store.database.write() as connection:
        assert not move_job(connection, row, JobEvent.CLAIM, now=START, values={})
    assert [entry.event for entry in store.jobs.log(job_id)] == [JobEvent.CANCEL]


def test_an_unknown_job_is_an_error(store: Store) -> None:
    with pytest.raises(StoreError, match="no job 7"):
        store.jobs.get(7)
