"""Images are deleted when they may be, and never before."""

import errno
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from appliance.core.errors import BadInstance
from appliance.intake.options import RetentionOptions
from appliance.intake.retention import Retention
from results_store.store import Store
from tests.builders import ct_slices, mr_slices
from tests.store.intake_world import STUDY, IntakeWorld, plan
from tests.store.world import SteppedClock

QUIET = timedelta(seconds=30)
KEEP = timedelta(days=14)
OTHER = "1.2.3.2"


@pytest.fixture
def world(tmp_path: Path, store: Store, clock: SteppedClock) -> IntakeWorld:
    return IntakeWorld(tmp_path / "spool", store, clock)


def retention(world: IntakeWorld, *, free_at_least: int = 0) -> Retention:
    options = RetentionOptions(images=KEEP, free_at_least=free_at_least)
    return Retention(options, world.store, world.spool, world.clock)


def decided(world: IntakeWorld, study: str = STUDY) -> tuple[str, ...]:
    """Receive a CT that no route wants and let its route close."""
    names = world.receive(ct_slices(slices=2, study_instance_uid=study))
    world.pass_time(QUIET)
    return names


def test_images_go_when_their_time_is_over_and_their_rows_stay(world: IntakeWorld) -> None:
    names = decided(world)
    world.clock.advance(KEEP - QUIET)
    assert retention(world).step() == 0
    world.clock.advance(timedelta(seconds=1))
    assert retention(world).step() == 2
    for name in names:
        with pytest.raises(BadInstance):
            world.spool.path(name)
    row = world.store.studies.get(STUDY)
    assert row is not None
    assert row.instance_count == 2
    assert retention(world).step() == 0


def test_nothing_goes_while_a_route_is_open_or_a_job_unfinished(world: IntakeWorld) -> None:
    world.receive(mr_slices(slices=2, study_instance_uid=STUDY))
    world.step()
    world.clock.advance(KEEP * 2)
    assert retention(world).step() == 0
    world.step()
    (job,) = world.jobs()
    assert retention(world).step() == 0
    world.store.commands.cancel(job.job_id)
    assert retention(world).step() == 2


def test_a_full_disk_takes_the_oldest_study_first_and_stops_when_there_is_room(
    world: IntakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = decided(world)
    world.clock.advance(timedelta(hours=2))
    young = decided(world, OTHER)
    world.clock.advance(timedelta(hours=2))
    monkeypatch.setattr(
        type(world.spool), "free_bytes", lambda spool: 100 * (5 - len(spool.all_names()))
    )
    assert retention(world, free_at_least=300).step() == 2
    assert world.spool.all_names() == set(young)
    assert not world.spool.all_names() & set(old)


def test_a_full_disk_never_takes_what_came_just_now(
    world: IntakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = decided(world)
    monkeypatch.setattr(type(world.spool), "free_bytes", lambda _spool: 0)
    assert retention(world, free_at_least=1).step() == 0
    assert world.spool.all_names() == set(names)


def test_a_crash_between_file_and_row_is_made_good(world: IntakeWorld) -> None:
    names = decided(world)
    world.clock.advance(KEEP * 2)
    world.spool.remove(names[0])
    assert retention(world).step() == 2
    assert world.store.studies.spool_names() == set()


def test_a_night_without_an_orchestrator_and_a_full_disk_lose_no_study(
    world: IntakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.use(plan(), batch=2)
    world.receive(mr_slices(slices=3, study_instance_uid=STUDY, gap=1.0))
    monkeypatch.setattr(type(world.spool), "free_bytes", lambda _spool: 0)
    world.clock.advance(timedelta(hours=9))
    world.step()  # only some of them are indexed so far
    assert retention(world, free_at_least=1).step() == 0
    world.step()
    world.step()
    (job,) = world.jobs()
    assert len(job.inputs) == 3


def test_a_job_that_begins_while_images_are_being_deleted_keeps_its_own(
    world: IntakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    decided(world)
    world.receive(mr_slices(slices=2, study_instance_uid=OTHER))
    world.pass_time(QUIET)
    (job,) = world.jobs(OTHER)
    world.store.commands.cancel(job.job_id)
    world.clock.advance(KEEP * 2)
    deletable = world.store.studies.deletable

    def listed(before: datetime) -> tuple[str, ...]:
        studies = deletable(before)
        if OTHER in studies:
            world.store.commands.resubmit(job.job_id, world.clock.now())
        return studies

    monkeypatch.setattr(world.store.studies, "deletable", listed)
    assert retention(world).step() == 2
    assert {item.spool_name for item in job.inputs} <= world.spool.all_names()


def test_a_file_that_cannot_be_deleted_stops_no_other(
    world: IntakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = decided(world)[1]
    others = decided(world, OTHER)
    world.clock.advance(KEEP * 2)
    remove = world.spool.remove

    def removes(name: str) -> None:
        if name == bad:
            raise PermissionError(errno.EACCES, "not allowed")
        remove(name)

    monkeypatch.setattr(world.spool, "remove", removes)
    assert retention(world).step() == 2
    assert not world.spool.all_names() & set(others)
    assert bad in world.store.studies.spool_names()
    monkeypatch.undo()
    assert retention(world).step() == 2
    assert world.store.studies.spool_names() == set()
