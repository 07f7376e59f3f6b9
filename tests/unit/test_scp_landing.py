"""An instance is durable when its sender is answered, and has its lasting name soon after."""

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from appliance.core.log import Event
from appliance.core.model import ReceivedInstance
from scp import filemeta
from scp.incoming import IncomingInstance
from scp.page import BLOCK, CAPACITY
from scp.shelves import PromptShelf
from scp.spool import Spool
from tests.counterparts import wait_until
from tests.receiving import Told
from tests.unit.test_scp_spool import NOW, sample


class Site:
    """A spool whose receiver may come and go."""

    def __init__(self, root: Path) -> None:
        self.spool = Spool(root)
        self.sink = Told()

    def shelf(self) -> PromptShelf:
        return PromptShelf(self.spool, self.sink)

    def entries(self) -> Mapping[str, bytes]:
        return {n: self.spool.path(n).read_bytes() for n in self.spool.new_entries()}

    def landed(self) -> list[Path]:
        return sorted(path for path in self.spool.root.glob("tmp/*/*") if path.stat().st_size)

    def kill(self) -> None:
        """Leave what a killed process leaves: files in a folder that nobody holds."""
        gone = self.spool.root / "tmp" / "gone"
        gone.mkdir(exist_ok=True)
        for path in self.spool.root.glob("tmp/*/*"):
            path.rename(gone / path.name)


@contextmanager
def started(shelf: PromptShelf) -> Iterator[None]:
    shelf.start()
    try:
        yield
    finally:
        shelf.stop()


def keep(shelf: PromptShelf, number: int = 1, more: bytes = b"") -> tuple[ReceivedInstance, bool]:
    data, provenance = sample(number)
    incoming = IncomingInstance(provenance, shelf)
    incoming.write(data + more)
    return incoming.commit(incoming.identity(), NOW)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "spool")


def test_what_a_killed_process_answered_for_is_filed_by_the_next_bit_by_bit(site: Site) -> None:
    shelf = site.shelf()
    kept = {keep(shelf, number)[0] for number in (1, 2, 3)}
    assert site.entries() == {}
    site.kill()

    assert set(site.spool.sweep()) == kept
    entries = site.entries()
    assert len(entries) == 3
    for instance in kept:
        assert site.spool.read(instance.spool_name) == instance
    for number in (1, 2, 3):
        assert any(entry.endswith(sample(number)[0]) for entry in entries.values())
    assert site.spool.sweep() == ()


def test_what_is_filed_is_not_filed_again_when_it_is_deleted(site: Site) -> None:
    with started(shelf := site.shelf()):
        instance, _ = keep(shelf)
    site.spool.remove(instance.spool_name)
    site.kill()

    assert site.spool.sweep() == ()
    assert site.entries() == {}


def test_what_has_its_lasting_name_already_is_nothing_new(site: Site) -> None:
    kept, _ = keep(site.shelf())
    site.spool.place(site.landed()[0], kept.spool_name)
    site.kill()

    assert site.spool.sweep() == ()
    assert list(site.entries()) == [kept.spool_name]
    assert list(site.spool.root.glob("quarantine/*")) == []


@pytest.mark.parametrize("damage", ["turned", "cut"])
def test_a_torn_write_was_not_answered_for_and_is_set_aside(site: Site, damage: str) -> None:
    shelf = site.shelf()
    keep(shelf)
    (path,) = site.landed()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data if damage == "turned" else data[:-2])
    site.kill()

    assert site.spool.sweep() == ()
    assert site.entries() == {}
    (half,) = site.spool.root.glob("quarantine/half-*.part")
    assert half.with_suffix(".txt").exists()


def test_while_the_disk_refuses_everything_stays_and_is_filed_later(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refusals = 0

    def refuses(*_: object) -> bool:
        nonlocal refusals
        refusals += 1
        raise OSError(errno.ENOSPC, "full")

    with started(shelf := site.shelf()):
        with monkeypatch.context() as patch:
            patch.setattr("scp.filer._PAUSE", 0.01)
            patch.setattr(site.spool, "place", refuses)
            keep(shelf)
            wait_until(lambda: refusals > 2)
        wait_until(site.entries)
    assert [r.message for r in caplog.records] == [Event.SPOOL_STUCK.value]
    assert list(site.spool.root.glob("tmp/*/*")) == []


def test_when_many_wait_for_their_names_the_next_gets_its_name_at_once(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scp.filer._MOST", 1)
    shelf = site.shelf()
    keep(shelf, 1)
    second, is_new = keep(shelf, 2)
    assert is_new
    assert list(site.entries()) == [second.spool_name]


def test_a_full_disk_promises_nothing_and_leaves_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(_: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    shelf = site.shelf()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", refuses)
        with pytest.raises(OSError, match="full"):
            keep(shelf)
    assert site.landed() == []
    assert keep(shelf)[1]


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


@pytest.mark.parametrize("size", [0, 2, 3392, 3394, 3396, 4096, 525_000])
def test_a_head_fills_a_file_up_to_a_block(size: int) -> None:
    head = filemeta.encode(sample()[1], size)
    assert (len(head) + size) % BLOCK == 0
    assert len(head) < BLOCK + 1000
    assert filemeta.decode(head + bytes(size)) == (sample()[1], len(head))
    assert (len(filemeta.encode(sample()[1], size + 1)) + size + 1) % BLOCK == BLOCK - 1


def test_a_file_ends_with_a_block_of_the_disk_so_that_one_write_is_enough(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[int] = []
    pwritev = os.pwritev

    def noted(file: int, data: Any, offset: int, *flags: int) -> int:
        writes.append(sum(map(len, data)))
        return pwritev(file, data, offset, *flags)

    monkeypatch.setattr(os, "pwritev", noted)
    shelf = site.shelf()
    instances = [keep(shelf, 1, bytes(8 + n))[0] for n in (0, 2, 4000, 4096)]
    assert writes == [instance.size for instance in instances]
    assert {instance.size % BLOCK for instance in instances} == {0}


def test_an_answer_waits_for_the_file_and_its_name_is_there_before(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, fdatasync = os.fsync, os.fdatasync

    def name_of(file: int) -> Path:
        return Path(f"/proc/self/fd/{file}").readlink()

    def noted(file: int) -> None:
        steps.append("folder " + name_of(file).parent.name)
        fsync(file)

    def noted_data(file: int) -> None:
        steps.append("file, which has " + str(name_of(file).stat().st_size))
        fdatasync(file)

    shelf = site.shelf()
    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(os, "fdatasync", noted_data)
    instance, _ = keep(shelf)
    assert steps == ["folder tmp", "folder spool", f"file, which has {instance.size}"]
    shelf._landing.prepare()
    steps.clear()
    instance, _ = keep(shelf, 2)
    assert steps == [f"file, which has {instance.size}"]


def test_files_are_made_in_advance_and_are_gone_at_the_end(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scp.landing.READY", 4)
    with started(shelf := site.shelf()):
        for number in range(6):
            wait_until(lambda: len(list(site.spool.root.glob("tmp/*/*"))) == 4)
            keep(shelf, number)
    assert list(site.spool.root.glob("tmp/*/*")) == []
    assert len(site.entries()) == 6


def test_a_first_name_goes_when_the_lasting_one_is_durable(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    make_durable = site.spool.make_durable

    def noted() -> None:
        make_durable()
        seen.append(len(site.landed()))

    shelf = site.shelf()
    for number in range(3):
        keep(shelf, number)
    monkeypatch.setattr(site.spool, "make_durable", noted)
    with started(shelf):
        wait_until(lambda: not site.landed())
    assert seen == [3]


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
