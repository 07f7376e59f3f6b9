"""What was fetched and imported, and what it means for the study's routes."""

from datetime import timedelta

import pytest

from appliance.core.model import Door
from appliance.intake.options import Backfill
from results_store.fetches import FetchOutcome, Way
from results_store.store import Store
from tests.builders import mr_slices
from tests.store.intake_world import STUDY, IntakeWorld, plan
from tests.store.world import SteppedClock


@pytest.fixture
def world(tmp_path, store: Store, clock: SteppedClock) -> IntakeWorld:
    return IntakeWorld(tmp_path / "spool", store, clock)


def study(**having: str):
    return mr_slices(slices=3, StudyInstanceUID=STUDY, StudyDate="20261121", **having)


def sends(world: IntakeWorld) -> list[str]:
    jobs = world.store.jobs
    return [send.destination for job in world.jobs() for send in jobs.sends(job.job_id)]


def test_a_fetch_is_remembered_from_its_begin_to_its_end(store: Store, clock: SteppedClock) -> None:
    number = store.fetches.begin("1.2", "pacs", Way.MOVE, asked_by="", instances=7)
    (running,) = store.fetches.of_study("1.2")
    assert (running.outcome, running.ended_at) == (FetchOutcome.RUNNING, None)
    assert running.until == clock.now() + timedelta(hours=24)
    ended = clock.advance(timedelta(seconds=9))
    store.fetches.end(number, FetchOutcome.PARTIAL, completed=5, failed=2, reason="two are gone")

    newest = store.fetches.latest("pacs", ["1.2", "1.3"])
    assert list(newest) == ["1.2"]
    assert (newest["1.2"].until, newest["1.2"].completed) == (ended, 5)
    assert store.fetches.latest("other", ["1.2"]) == {}
    assert [one.id for one in store.fetches.list()] == [number]


@pytest.mark.parametrize("backfill", list(Backfill))
def test_what_comes_while_a_study_is_moved_leaves_only_where_the_route_says_so(
    world: IntakeWorld, store: Store, clock: SteppedClock, backfill: Backfill
) -> None:
    world.use(plan(backfill=backfill))
    number = store.fetches.begin(STUDY, "pacs", Way.MOVE, asked_by="", instances=3)
    world.receive(study())
    store.fetches.end(number, FetchOutcome.DONE, completed=3, failed=0, reason="")
    world.pass_time(timedelta(seconds=31))

    assert "fetched, not sent to us" in world.decision().summary
    assert len(world.jobs()) == (0 if backfill is Backfill.SKIP else 1)
    assert sends(world) == (["pacs"] if backfill is Backfill.SEND else [])


def test_what_was_sent_before_or_after_a_fetch_is_news(
    world: IntakeWorld, store: Store, clock: SteppedClock
) -> None:
    number = store.fetches.begin(STUDY, "pacs", Way.MOVE, asked_by="", instances=3)
    store.fetches.end(number, FetchOutcome.FAILED, completed=0, failed=0, reason="down")
    clock.advance(timedelta(seconds=1))
    world.receive(study())
    clock.advance(timedelta(seconds=1))
    store.fetches.begin(STUDY, "pacs", Way.MOVE, asked_by="", instances=3)
    world.pass_time(timedelta(seconds=31))
    assert sends(world) == ["pacs"]


@pytest.mark.parametrize("door", [Door.FETCHED, Door.IMPORTED])
def test_the_door_that_a_file_names_is_kept_and_decides(world: IntakeWorld, door: Door) -> None:
    pushed, other = study()[:2], study()[2:]
    world.receive(pushed)
    world.receive(other, door=door)
    world.pass_time(timedelta(seconds=31))
    assert {one.door for one in world.store.studies.instances(STUDY)} == {Door.PUSHED, door}
    assert f"{door.value}, not sent to us" in world.decision().summary
    assert sends(world) == []


def test_what_is_here_is_counted_by_series(world: IntakeWorld, store: Store) -> None:
    world.receive(study())
    world.step()
    (series,) = {one.series_instance_uid for one in store.studies.instances(STUDY)}
    assert store.fetches.here(STUDY) == {series: 3}
    assert store.fetches.our_series(STUDY) == frozenset()


def test_an_imported_file_is_known_until_it_changes(store: Store) -> None:
    store.imports.remember("a" * 64, 10, 1, "stored")
    assert store.imports.outcome("a" * 64, 10, 1) == "stored"
    assert store.imports.outcome("a" * 64, 11, 1) is None
    store.imports.remember("a" * 64, 11, 2, "not-dicom")
    assert store.imports.outcome("a" * 64, 11, 2) == "not-dicom"
    assert store.imports.outcome("a" * 64, 10, 1) is None
