"""What is in the journal is safe: whoever comes next makes files of it, once."""

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from appliance.core.log import Event
from appliance.core.model import ReceivedInstance
from scp.incoming import IncomingInstance
from scp.journal import Journal
from scp.page import CAPACITY, Page
from scp.shelves import JournalShelf
from scp.spool import Spool
from tests.counterparts import wait_until
from tests.older import made_older
from tests.receiving import Told
from tests.unit.test_scp_spool import NOW, put, sample

MAGIC = b"APPLIANCE JOURNAL"


class Site:
    """A spool whose receiver may come and go."""

    def __init__(self, root: Path) -> None:
        self.spool = Spool(root)
        self.sink = Told()

    def shelf(self, most: int = 256) -> JournalShelf:
        return JournalShelf(self.spool, Journal(self.spool.journal_folder, most=most), self.sink)

    def entries(self) -> Mapping[str, bytes]:
        return {n: self.spool.path(n).read_bytes() for n in self.spool.new_entries()}


@contextmanager
def started(shelf: JournalShelf) -> Iterator[int]:
    left = shelf.start()
    try:
        yield left
    finally:
        shelf.stop()


def keep(shelf: JournalShelf, number: int = 1, more: bytes = b"") -> tuple[ReceivedInstance, bool]:
    data, provenance = sample(number)
    incoming = IncomingInstance(provenance, shelf)
    incoming.write(data + more)
    return incoming.commit(incoming.identity(), NOW)


def held(site: Site) -> list[ReceivedInstance | None]:
    """Return what the slots say, while no process is there."""
    journal = Journal(site.spool.journal_folder)
    try:
        return [slot.instance for slot in journal.left_over(Page())]
    finally:
        journal.close()


def abandon(shelf: JournalShelf) -> None:
    """End as a killed process does: nothing is filed, the locks are gone."""
    shelf._journal.close()


def turn_the_last_byte(slot: Path, instance: ReceivedInstance) -> None:
    data = bytearray(slot.read_bytes())
    data[4096 + instance.size - 1] ^= 1
    slot.write_bytes(data)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "spool")


def test_what_a_killed_process_answered_for_is_filed_by_the_next_bit_by_bit(site: Site) -> None:
    shelf = site.shelf()
    kept = [keep(shelf, number)[0] for number in (1, 2, 3)]
    assert site.entries() == {}
    abandon(shelf)

    with started(site.shelf()) as left:
        assert left == 3
    entries = site.entries()
    for number, instance in enumerate(kept, start=1):
        assert entries[instance.spool_name].endswith(sample(number)[0])
        assert site.spool.read(instance.spool_name) == instance
    assert sorted(one.spool_name for one in site.sink.instances) == sorted(entries)


def test_what_is_filed_is_not_filed_again_when_it_is_deleted(site: Site) -> None:
    with started(shelf := site.shelf()):
        instance, _ = keep(shelf)
    site.spool.remove(instance.spool_name)

    with started(site.shelf()) as left:
        assert left == 0
    assert site.entries() == {}


def test_a_slot_that_was_not_yet_cleared_is_a_duplicate_after_a_crash(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, started(shelf := site.shelf()):
        patch.setattr(shelf._journal, "tidy", lambda: False)
        kept, _ = keep(shelf)
        wait_until(site.sink.instances.copy)
    assert held(site) == [kept]

    with started(site.shelf()) as left:
        assert left == 0
        wait_until(lambda: MAGIC not in (site.spool.journal_folder / "0/slot-0001").read_bytes())
    assert held(site) == []
    assert list(site.entries()) == [kept.spool_name]
    assert site.sink.instances == [kept]


def test_a_torn_write_was_not_answered_for_and_is_nothing(site: Site) -> None:
    shelf = site.shelf()
    keep(shelf, 1)
    torn, _ = keep(shelf, 2)
    abandon(shelf)
    turn_the_last_byte(site.spool.journal_folder / "0" / "slot-0002", torn)

    with started(site.shelf()) as left:
        assert left == 1
    assert torn.spool_name not in site.entries()


def test_slots_that_an_earlier_version_left_are_filed_unless_torn(site: Site) -> None:
    journal = Journal(site.spool.journal_folder)
    older = [made_older(site.spool, put(site.spool, *sample(n))[0]) for n in (1, 2)]
    files = site.entries()
    for instance in older:
        page = Page()
        page.body[: instance.size] = files[instance.spool_name]
        assert journal.put(page, instance)
        site.spool.remove(instance.spool_name)
    journal.close()
    turn_the_last_byte(site.spool.journal_folder / "0" / "slot-0002", older[1])

    with started(site.shelf()) as left:
        assert left == 1
    assert site.entries() == {older[0].spool_name: files[older[0].spool_name]}


def test_two_processes_have_a_folder_each_and_a_folder_left_alone_is_emptied(site: Site) -> None:
    first, second = site.shelf(), site.shelf()
    keep(first, 1)
    keep(second, 2)
    abandon(second)

    with started(site.shelf()) as left:  # takes the folder of the second
        assert left == 1
    abandon(first)
    one, another = site.shelf(), site.shelf()
    keep(another, 3)
    abandon(another)
    with started(one) as left:
        assert left == 2
    assert len(site.entries()) == 3
    assert list((site.spool.journal_folder / "1").glob("slot-*")) == []


def test_while_the_disk_refuses_everything_stays_and_is_filed_later(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refusals = 0

    def refuses(*_: object) -> None:
        nonlocal refusals
        refusals += 1
        raise OSError(errno.ENOSPC, "full")

    with started(shelf := site.shelf()):
        with monkeypatch.context() as patch:
            patch.setattr("scp.filer._PAUSE", 0.01)
            patch.setattr(site.spool, "move_in", refuses)
            keep(shelf)
            wait_until(lambda: refusals > 2)
        wait_until(site.entries)
    assert [r.message for r in caplog.records] == [Event.JOURNAL_STUCK.value]
    assert list(site.spool.root.glob("tmp/*/*")) == []


def test_without_a_free_slot_an_instance_gets_its_file_at_once(site: Site) -> None:
    shelf = site.shelf(most=1)
    keep(shelf, 1)
    second, is_new = keep(shelf, 2)
    assert is_new
    assert list(site.entries()) == [second.spool_name]
    abandon(shelf)


@pytest.mark.parametrize("size", [CAPACITY - 5000, CAPACITY, 3 * CAPACITY, 3 * CAPACITY + 4097])
def test_an_instance_of_any_size_is_kept_bit_by_bit(site: Site, size: int) -> None:
    head = b"\x09\x00\x01\x10OB\0\0" + (size).to_bytes(4, "little")
    rest = head + bytes(i * 7 % 251 for i in range(1000)) * (size // 1000) + bytes(size % 1000)
    with started(shelf := site.shelf()):
        instance, _ = keep(shelf, 1, rest)
    data = site.entries()[instance.spool_name]
    assert data.endswith(sample(1)[0] + rest)
    assert len(data) == instance.size


def test_the_same_bytes_again_are_a_duplicate_before_and_after_filing(site: Site) -> None:
    shelf = site.shelf()
    assert keep(shelf)[1]
    assert not keep(shelf)[1]
    with started(shelf):
        pass
    with started(shelf := site.shelf()):
        assert not keep(shelf)[1]
    assert len(site.entries()) == 1


def test_an_answer_waits_for_the_disk(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    pwritev, fsync = os.pwritev, os.fsync

    def noted(file: int, data: Any, offset: int, flags: int = 0) -> int:
        if flags & os.RWF_DSYNC:
            steps.append("durable " + Path(f"/proc/self/fd/{file}").readlink().name)
        return pwritev(file, data, offset, flags)

    def noted_fsync(file: int) -> None:
        steps.append("fsync " + Path(f"/proc/self/fd/{file}").readlink().name)
        fsync(file)

    shelf = site.shelf()
    monkeypatch.setattr(os, "pwritev", noted)
    monkeypatch.setattr(os, "fsync", noted_fsync)
    keep(shelf)
    assert steps == ["durable slot-0001", "fsync 0"]
    abandon(shelf)


def test_a_file_system_without_direct_io_will_do(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def refuses_direct(path: Any, flags: int, *rest: Any) -> int:
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "no direct I/O")
        return real(path, flags, *rest)

    monkeypatch.setattr(os, "open", refuses_direct)
    with started(shelf := site.shelf()):
        instance, _ = keep(shelf)
    assert site.entries()[instance.spool_name].endswith(sample()[0])


def test_slots_are_made_in_advance_and_hold_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scp.journal.READY", 4)
    folder = site.spool.journal_folder / "0"
    with started(shelf := site.shelf()):
        assert list(folder.glob("slot-*")) == []  # nothing came yet
        keep(shelf)
        wait_until(lambda: len(list(folder.glob("slot-*"))) == 4)
    assert held(site) == []


def test_many_files_are_synced_by_one_flush_before_they_have_names(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    move_in = site.spool.move_in

    def noted(temporary: Path, name: str) -> None:
        steps.append("rename")
        move_in(temporary, name)

    shelf = site.shelf()
    for number in range(5):
        keep(shelf, number)
    monkeypatch.setattr("scp.filer.sync_file_system", lambda folder: steps.append(folder.name))
    monkeypatch.setattr(site.spool, "move_in", noted)
    abandon(shelf)
    with started(site.shelf()):
        pass
    assert steps == ["spool", *["rename"] * 5]
