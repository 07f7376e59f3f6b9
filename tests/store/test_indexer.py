"""From files in the spool to rows: nothing lost, nothing twice, one bad entry stops no other."""

import errno
import mmap
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from appliance.core.errors import StoreError
from appliance.core.log import Event
from appliance.core.model import ReceivedInstance
from results_store.facts import InstanceFacts
from results_store.indexing import Comparison, IndexOutcome
from results_store.store import Store
from tests.builders import mr_slices
from tests.store.intake_world import STUDY, IntakeWorld, plan
from tests.store.world import SteppedClock

QUIET = timedelta(seconds=30)
Rows = Sequence[tuple[ReceivedInstance, InstanceFacts]]


@pytest.fixture
def world(tmp_path: Path, store: Store, clock: SteppedClock) -> IntakeWorld:
    return IntakeWorld(tmp_path / "spool", store, clock)


def head(**attributes: object) -> list[Dataset]:
    options: dict[str, object] = {"slices": 3, "study_instance_uid": STUDY, "gap": 1.0}
    return mr_slices(**(options | attributes))


def test_what_is_unreadable_is_quarantined_with_its_reason(world: IntakeWorld) -> None:
    (name,) = world.receive(head(slices=1))
    path = world.spool.path(name)
    path.write_bytes(path.read_bytes()[:600])
    world.receive(head())
    world.step()
    assert (world.spool_root / "quarantine" / f"{name}.dcm").exists()
    assert world.spool.new_entries() == ()
    assert len(world.store.studies.instances(STUDY)) == 3


def test_text_that_no_database_takes_is_no_obstacle(world: IntakeWorld) -> None:
    images = head()
    for image in images:
        image.add_new("AccessionNumber", "SH", b"A\x001")
        image.add_new("SeriesDescription", "LO", b"t1 \xff\xfe\x00mprage")
    world.receive(images)
    world.pass_time(QUIET)
    assert len(world.jobs()) == 1
    row = world.store.studies.get(STUDY)
    assert row is not None
    assert row.accession_number == "A1"


def test_a_second_indexing_after_a_crash_changes_nothing(world: IntakeWorld) -> None:
    names = world.receive(head())
    entries = [world.spool_root / "new" / name for name in names]
    kept = [path.read_bytes() for path in entries]
    world.step()
    for path, content in zip(entries, kept, strict=True):
        path.write_bytes(content)  # as if the process had died before it finished the entry
    world.restart()
    world.step()
    assert world.spool.new_entries() == ()
    row = world.store.studies.get(STUDY)
    assert row is not None
    assert row.instance_count == 3


def test_files_without_a_row_are_indexed_at_the_start(world: IntakeWorld) -> None:
    for name in world.receive(head()):
        world.spool.adopt(name)
        world.spool.finish(name)
    world.step()
    assert world.store.studies.get(STUDY) is None
    world.restart()
    world.indexer.recover()
    world.step_to_the_end()
    row = world.store.studies.get(STUDY)
    assert row is not None
    assert row.instance_count == 3
    world.pass_time(QUIET)
    assert len(world.jobs()) == 1


def test_a_restart_finds_lost_files_before_any_route_closes(world: IntakeWorld) -> None:
    images = head(slices=4)
    world.receive(images[:1])
    world.step()
    for name in world.receive(images[1:]):
        world.spool.adopt(name)
        world.spool.finish(name)
    world.clock.advance(timedelta(hours=3))
    world.restart()
    world.indexer.recover()
    while world.step() == timedelta(0):
        assert world.jobs() == ()
    (job,) = world.jobs()
    assert len(job.inputs) == 4


def test_a_backlog_is_indexed_to_its_end_before_any_route_closes(world: IntakeWorld) -> None:
    world.use(plan(), batch=2)
    world.receive(head(slices=5))
    world.clock.advance(timedelta(hours=3))  # as if the orchestrator had been down
    while world.step() == timedelta(0):
        assert world.jobs() == ()
    (job,) = world.jobs()
    assert len(job.inputs) == 5


def test_many_files_are_indexed_in_batches_without_a_pause(world: IntakeWorld) -> None:
    world.use(plan(), batch=2)
    world.receive(head(slices=5))
    assert [world.step() for _ in range(2)] == [timedelta(0)] * 2
    assert world.step() > timedelta(0)
    assert len(world.store.studies.instances(STUDY)) == 5


def refusing(world: IntakeWorld, names: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the database refuse the rows of these entries."""
    index_many = world.store.studies.index_many

    def refuses(entries: Rows, comparisons: Mapping[str, Comparison]) -> tuple[IndexOutcome, ...]:
        if names & {received.spool_name for received, _ in entries}:
            raise StoreError("the database said: index row size exceeds maximum")
        return index_many(entries, comparisons)

    monkeypatch.setattr(world.store.studies, "index_many", refuses)


def test_an_entry_that_the_database_refuses_stops_no_other(
    world: IntakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = set(world.receive(head(study_instance_uid="1.2.3.9"))[:1])
    world.receive(head())
    refusing(world, bad, monkeypatch)
    for _ in range(2):
        with pytest.raises(StoreError):
            world.step()
    assert len(world.store.studies.instances(STUDY)) == 3
    world.pass_time(QUIET)
    assert len(world.jobs()) == 1
    assert set(world.spool.new_entries()) == bad
    monkeypatch.undo()
    world.pass_time(timedelta(minutes=5))
    assert world.spool.new_entries() == ()


def test_a_database_that_is_down_loses_no_entry_and_closes_no_route(
    world: IntakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.use(plan(), batch=2)
    images = head()
    world.receive(images[:1])
    world.step()
    names = set(world.receive(images[1:]))
    refusing(world, names, monkeypatch)
    world.clock.advance(timedelta(hours=3))
    with pytest.raises(StoreError):
        world.step()
    assert world.jobs() == ()
    monkeypatch.undo()
    world.pass_time(QUIET)
    (job,) = world.jobs()
    assert len(job.inputs) == 3


def test_a_disk_that_does_not_give_an_entry_now_does_not_make_it_a_bad_one(
    world: IntakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.receive(head())
    monkeypatch.setattr(mmap, "mmap", fails_with(errno.EMFILE))
    world.step()
    assert world.spool.quarantined() == ()
    monkeypatch.undo()
    world.step()
    assert len(world.store.studies.instances(STUDY)) == 3


def fails_with(number: int) -> Callable[..., None]:
    def fails(*_: object, **__: object) -> None:
        raise OSError(number, "not now")

    return fails


def test_an_entry_that_is_gone_when_its_turn_comes_is_no_news(world: IntakeWorld) -> None:
    world.use(plan(), batch=2)
    world.receive(head())
    world.step()
    (left,) = world.spool.new_entries()
    world.spool.remove(left)
    world.step()
    assert world.spool.quarantined() == ()
    assert Event.INSTANCE_QUARANTINED not in world.events()


def test_an_accession_number_as_long_as_a_novel_is_cut(world: IntakeWorld) -> None:
    """A PostgreSQL index takes no row above 2.7 kB."""
    letters = "".join(chr(0x4E00 + number * 7919 % 20000) for number in range(1024))
    images = head()
    for image in images:
        image.SpecificCharacterSet = "ISO_IR 192"
        image.add_new("AccessionNumber", "LT", letters)
    world.receive(images)
    world.step()
    assert len(world.store.studies.instances(STUDY)) == 3
