"""What keeps results here although the route sends: from the decision to the outbox."""

import logging
from datetime import date, timedelta
from pathlib import Path

import pytest

from appliance.core.log import Event
from appliance.core.objections import Objection
from appliance.intake.options import Backfill
from results_store.store import Store
from tests.builders import mr_slices
from tests.store import world as store_world
from tests.store.intake_world import STUDY, IntakeWorld, plan
from tests.store.world import START, SteppedClock, finish

QUIET = timedelta(seconds=30)
ENDED = Objection(
    key=("pipelines", "brain-mr"),
    reason="the release ended on 2026-11-21",
    advice="renew it",
    since=date(2026, 11, 22),
)
NOT_RELEASED = Objection(
    key=("pipelines", "brain-mr", "release"), reason="1 is not released", advice="release it"
)


@pytest.fixture
def world(tmp_path: Path, store: Store, clock: SteppedClock) -> IntakeWorld:
    return IntakeWorld(tmp_path / "spool", store, clock)


def receive(world: IntakeWorld) -> None:
    world.receive(mr_slices(slices=3, study_instance_uid=STUDY, gap=1.0))
    world.pass_time(QUIET)


def test_what_is_not_released_runs_in_shadow_and_says_why(
    world: IntakeWorld, caplog: pytest.LogCaptureFixture
) -> None:
    world.use(plan(objections={"brain-mr": (NOT_RELEASED,)}))
    with caplog.at_level(logging.INFO, logger="appliance"):
        receive(world)
    fields = [one.__dict__["fields"] for one in caplog.records if one.msg == Event.JOB_QUEUED]
    assert [one["reason"] for one in fields] == ["shadow: 1 is not released"]
    (job,) = world.jobs()
    assert world.store.jobs.sends(job.job_id) == ()
    assert job.shadow == "1 is not released"
    decision = world.decision()
    assert decision.matched
    assert decision.summary.endswith("; nothing of brain-mr is sent: shadow: 1 is not released")
    (reason,) = (one for one in decision.reasons if one.found == "1 is not released")
    assert (reason.condition, reason.holds) == ("results of brain-mr may leave", False)


def test_a_release_counts_to_its_last_day(world: IntakeWorld) -> None:
    world.use(plan(objections={"brain-mr": (ENDED,)}))
    receive(world)
    (job,) = world.jobs()
    assert job.shadow == ""
    assert world.store.jobs.sends(job.job_id)
    world.clock.advance(timedelta(days=1))
    world.receive(mr_slices(slices=3, study_instance_uid="1.2.3.2", gap=1.0))
    world.pass_time(QUIET)
    (later,) = world.jobs("1.2.3.2")
    assert later.shadow == "the release ended on 2026-11-21"


def test_what_ran_in_shadow_runs_again_for_a_person_once_it_is_released(
    world: IntakeWorld,
) -> None:
    world.use(plan(objections={"brain-mr": (NOT_RELEASED,)}))
    receive(world)
    finish(world.store, now=world.clock.now())
    world.store.routes.run_again(STUDY, "brain", "asked for")
    world.pass_time(QUIET)
    assert len(world.jobs()) == 1, "nothing changed"
    world.use(plan())
    world.store.routes.run_again(STUDY, "brain", "asked for")
    world.pass_time(QUIET)
    first, again = world.jobs()
    assert (again.shadow, again.supersedes) == ("", first.job_id)
    assert world.store.jobs.sends(again.job_id)


def test_a_route_that_sends_nowhere_has_no_more_to_say(world: IntakeWorld) -> None:
    world.use(plan(send=(), objections={"brain-mr": (NOT_RELEASED,)}))
    receive(world)
    (job,) = world.jobs()
    assert job.shadow == ""
    assert "shadow" not in world.decision().summary


def test_a_run_on_an_old_study_says_that_it_is_no_news(world: IntakeWorld) -> None:
    world.use(plan(max_age=timedelta(days=2), backfill=Backfill.SHADOW))
    old = mr_slices(slices=3, study_instance_uid=STUDY, gap=1.0, StudyDate="20200101")
    world.receive(old)
    world.pass_time(QUIET)
    (job,) = world.jobs()
    assert job.shadow == "the study is no news (backfill)"


def test_what_the_worker_may_not_send_at_the_end_stays_here(store: Store) -> None:
    job = store_world.submit(store)
    claim = store_world.claim(store)
    done = store_world.completed(job.run_uid[:50], shadow="the release ended on 2026-11-21")
    store.commands.complete_run(claim, done, START)
    assert store.deliveries.list() == ()
    assert store.jobs.get(job.job_id).shadow == "the release ended on 2026-11-21"


def test_a_run_again_of_a_shadow_is_a_shadow_with_its_reason(store: Store) -> None:
    store_world.submit(store, send=(), shadow="1 is not released")
    job = store_world.finish(store)
    assert store.commands.resubmit(job.job_id, START).shadow == "1 is not released"
