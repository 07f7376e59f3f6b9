"""A watched folder: what is taken, what stays, and what never happens to a file."""

import os
from datetime import timedelta
from pathlib import Path

import pytest

from appliance.core.model import Door
from appliance.doors.folder import FolderImport
from appliance.doors.options import After, ImportOptions
from results_store.store import Store
from scp.deposit import Depot
from scp.spool import Spool
from tests.builders import mr_series
from tests.receiving import Told
from tests.store.world import SteppedClock


@pytest.fixture
def kind() -> str:
    return "sqlite"


class World:
    def __init__(self, root: Path, store: Store, clock: SteppedClock, after: After) -> None:
        self.folder = root / "import"
        self.folder.mkdir()
        self.refusals = root / "set-aside"
        self.spool = Spool(root / "spool")
        self.clock = clock
        self.free = True
        self._store = store
        self._options = ImportOptions(
            folder=self.folder,
            settle=timedelta(seconds=10),
            after=after,
            refusals=self.refusals,
            ae_title="APPLIANCE",
        )
        self.restart()

    def restart(self, *, refuse_below: int = 0) -> None:
        depot = Depot(self.spool, Told(), self.clock, largest=10**8, refuse_below=refuse_below)
        self.one = FolderImport(
            self._options, depot, self._store.imports, self.clock, lambda: False
        )

    def settle(self) -> int:
        """Look, let the time pass, look again."""
        first = self.one.step()
        self.clock.advance(timedelta(seconds=10))
        return first + self.one.step()

    def notes(self) -> list[str]:
        return sorted(path.read_text() for path in self.refusals.glob("*.txt"))


@pytest.fixture(params=list(After))
def world(
    tmp_path: Path, store: Store, clock: SteppedClock, request: pytest.FixtureRequest
) -> World:
    return World(tmp_path, store, clock, request.param)


@pytest.fixture
def deleting(tmp_path: Path, store: Store, clock: SteppedClock) -> World:
    return World(tmp_path, store, clock, After.DELETE)


@pytest.fixture
def keeping(tmp_path: Path, store: Store, clock: SteppedClock) -> World:
    return World(tmp_path, store, clock, After.KEEP)


def test_files_in_any_depth_are_imported_when_they_no_longer_change(world: World) -> None:
    paths = mr_series(world.folder / "a" / "b", slices=3)
    contents = [path.read_bytes()[-500:] for path in paths]
    assert world.one.step() == 0
    world.clock.advance(timedelta(seconds=9))
    assert world.one.step() == 0
    world.clock.advance(timedelta(seconds=1))
    assert world.one.step() == 3

    names = world.spool.new_entries()
    assert sorted(world.spool.path(n).read_bytes()[-500:] for n in names) == sorted(contents)
    read = [world.spool.read(name) for name in names]
    assert {(one.door, one.calling_ae_title) for one in read} == {(Door.IMPORTED, "IMPORT")}
    kept = world._options.after is After.KEEP
    assert all(path.exists() is kept for path in paths)
    assert world.notes() == []


def test_a_kept_file_is_imported_once_whatever_restarts(keeping: World) -> None:
    mr_series(keeping.folder, slices=2)
    assert keeping.settle() == 2
    for name in keeping.spool.new_entries():
        keeping.spool.finish(name)  # as after retention
    assert keeping.settle() == 0
    keeping.restart()
    assert keeping.settle() == 0
    assert keeping.spool.new_entries() == ()


def test_what_is_no_dicom_file_stays_and_is_told_once(world: World) -> None:
    letter = world.folder / "Smith^John.txt"
    letter.write_text("Dear colleague " * 100)
    (world.folder / "empty").write_bytes(b"")
    assert world.settle() == 0
    assert letter.exists()
    empty, told = sorted(world.notes(), key=len)
    assert told == f"{letter}\nnot-dicom: not a data set in the agreed transfer syntax\n"
    assert "empty" in empty
    next(world.refusals.iterdir()).unlink()
    assert world.settle() == 0
    world.restart()
    assert world.settle() == 0
    assert len(world.notes()) == 1


def test_a_half_written_file_waits_and_is_imported_when_it_is_whole(world: World) -> None:
    (path,) = mr_series(world.folder, slices=1)
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    assert world.settle() == 0
    assert path.read_bytes() == content[:-100]
    assert "truncated" in world.notes()[0]
    with path.open("ab") as file:
        file.write(content[-100:])
    assert world.settle() == 1
    assert len(world.spool.new_entries()) == 1


def test_a_file_that_changes_while_it_is_looked_at_begins_to_wait_again(world: World) -> None:
    (path,) = mr_series(world.folder, slices=1)
    world.one.step()
    world.clock.advance(timedelta(seconds=9))
    os.utime(path, ns=(1, 1))
    world.one.step()
    world.clock.advance(timedelta(seconds=9))
    assert world.one.step() == 0
    world.clock.advance(timedelta(seconds=1))
    assert world.one.step() == 1


def test_symbolic_links_and_pipes_are_left_alone(world: World, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (path,) = mr_series(elsewhere, slices=1)
    (world.folder / "file").symlink_to(path)
    (world.folder / "folder").symlink_to(elsewhere)
    os.mkfifo(world.folder / "pipe")
    assert world.settle() == 0
    assert path.exists()
    assert len(list(world.folder.iterdir())) == 3
    assert world.notes() == []


def test_nothing_is_deleted_that_is_not_durable(
    deleting: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = mr_series(deleting.folder, slices=1)

    def fails(*_: object) -> bool:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(Spool, "keep", fails)
        assert deleting.settle() == 0
    assert path.exists()
    assert deleting.settle() == 1
    assert not path.exists()


def test_below_the_disk_s_reserve_nothing_is_read(deleting: World) -> None:
    mr_series(deleting.folder, slices=1)
    deleting.restart(refuse_below=10**18)
    assert deleting.settle() == 0
    deleting.restart()
    assert deleting.settle() == 1


def test_a_file_that_was_replaced_while_it_was_read_is_not_deleted(
    deleting: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = mr_series(deleting.folder, slices=1)
    keep = Spool.keep

    def replaced(spool: Spool, incoming: object, instance: object) -> bool:
        path.unlink()
        path.write_text("something else")
        return keep(spool, incoming, instance)

    with monkeypatch.context() as racing:
        racing.setattr(Spool, "keep", replaced)
        assert deleting.settle() == 1
    assert path.read_text() == "something else"
