"""`appliance check --spool` finds what the disk lost, and raises no false alarm beside the rest."""

import fcntl
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.cli.main import run
from appliance.core.clock import SystemClock
from appliance.core.model import ReceivedInstance
from appliance.wiring.site import Site, open_site
from scp import soundness
from scp.command import N_SET_RQ
from scp.notices import Notice, Notices
from scp.soundness import Kind, Pace, Problem, Progress, SpoolCheck
from tests.appliance import settings, write
from tests.older import made_older
from tests.unit.test_cli_status import index, put

STUDY = "1.2.7"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with open_site(write(tmp_path, settings(tmp_path, 104))) as opened:
        yield opened


@pytest.fixture
def kept(site: Site) -> list[ReceivedInstance]:
    """Six images, indexed."""
    instances = [put(site, STUDY, number) for number in range(6)]
    for instance in instances:
        index(site, instance)
    return instances


class Waits(list[float]):
    """How long the check would have slept."""


def check(site: Site, waits: Waits | None = None) -> dict[tuple[Kind, str], str]:
    waits = Waits() if waits is None else waits
    pace = Pace(SystemClock(), None, sleep=waits.append)
    found = SpoolCheck(site.folders.spool, site.store.overview.checksums, pace).run()
    return {(p.kind, p.path): p.detail for p in found if isinstance(p, Problem)}


def image(instance: ReceivedInstance) -> str:
    return f"images/{instance.spool_name[:2]}/{instance.spool_name}.dcm"


def turn_a_bit(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_a_sound_spool_is_quiet(site: Site, kept: list[ReceivedInstance]) -> None:
    put(site, STUDY, 99)  # waits for intake: nothing is wrong with that
    assert check(site) == {}
    assert len(kept) == 6


@pytest.mark.parametrize("at", [-1, -500])
def test_a_turned_bit_is_rot(site: Site, kept: list[ReceivedInstance], at: int) -> None:
    turn_a_bit(site.spool.path(kept[2].spool_name), at)
    assert list(check(site)) == [(Kind.ROT, image(kept[2]))]


def test_a_file_of_an_earlier_version_is_sound_until_a_bit_turns(site: Site) -> None:
    older, waiting = (
        made_older(site.spool, put(site, STUDY, number).spool_name) for number in (1, 2)
    )
    index(site, older)
    assert check(site) == {}
    for one in (older, waiting):
        turn_a_bit(site.spool.path(one.spool_name), -1)
    found = check(site)
    assert set(found) == {(Kind.ROT, image(older)), (Kind.ROT, f"new/{waiting.spool_name}")}
    assert set(found.values()) == {"its checksum differs from that in the file"}


def test_a_checksum_that_no_version_made_is_told_and_stops_nothing(
    site: Site, kept: list[ReceivedInstance]
) -> None:
    path = site.spool.path(kept[0].spool_name)
    path.write_bytes(path.read_bytes().replace(b'"blake3:', b'"blake9:'))
    turn_a_bit(site.spool.path(kept[5].spool_name), -1)
    assert set(check(site)) == {(Kind.UNREADABLE, image(kept[0])), (Kind.ROT, image(kept[5]))}


def test_rot_in_what_waits_for_intake_is_found_too(site: Site) -> None:
    waiting = put(site, STUDY, 1)
    turn_a_bit(site.spool.path(waiting.spool_name), -1)
    assert list(check(site)) == [(Kind.ROT, f"new/{waiting.spool_name}")]


def test_a_file_that_is_whole_but_another_one_differs_from_the_store(
    site: Site, kept: list[ReceivedInstance]
) -> None:
    first, second = (site.spool.path(one.spool_name) for one in kept[:2])
    first.unlink()
    first.write_bytes(second.read_bytes())
    assert check(site) == {
        (Kind.ROT, image(kept[0])): "its checksum differs from that in the store"
    }


@pytest.mark.parametrize(
    "data", [b"", b"\0" * 5000, b"\0" * 128 + b"DICM\2\0\0\0UL\4\0\xff\xff\xff\xff"]
)
def test_a_cut_off_file_is_unreadable(
    site: Site, kept: list[ReceivedInstance], data: bytes
) -> None:
    site.spool.path(kept[0].spool_name).write_bytes(data)
    assert list(check(site)) == [(Kind.UNREADABLE, image(kept[0]))]


def test_a_file_that_the_disk_refuses_is_unreadable_and_the_rest_is_read(
    site: Site, kept: list[ReceivedInstance]
) -> None:
    path = site.spool.path(kept[0].spool_name)
    path.unlink()
    path.mkdir()  # reading it is an OSError, also for root
    turn_a_bit(site.spool.path(kept[5].spool_name), -1)
    found = check(site)
    assert set(found) == {(Kind.UNREADABLE, image(kept[0])), (Kind.ROT, image(kept[5]))}
    assert found[Kind.UNREADABLE, image(kept[0])] == "Is a directory"


def test_rows_without_files_and_files_without_rows_are_told(
    site: Site, kept: list[ReceivedInstance]
) -> None:
    site.spool.remove(kept[0].spool_name)
    lost = put(site, STUDY, 50)
    site.spool.adopt(lost.spool_name)
    site.spool.finish(lost.spool_name)
    assert set(check(site)) == {(Kind.MISSING, image(kept[0])), (Kind.WITHOUT_ROW, image(lost))}


def test_what_intake_and_retention_do_meanwhile_is_no_alarm(
    site: Site, kept: list[ReceivedInstance]
) -> None:
    """Files and rows change one after the other; the check sees them in between."""
    late = put(site, STUDY, 50)
    site.spool.adopt(late.spool_name)
    site.spool.finish(late.spool_name)  # its row comes while the check runs
    site.spool.remove(kept[0].spool_name)  # noted as deleted while the check runs

    class Meanwhile(Waits):
        def append(self, seconds: float) -> None:
            super().append(seconds)
            if len(self) == 1:
                index(site, replace(late))
                with site.store.database.write() as connection:
                    connection.exec_driver_sql(
                        "UPDATE instance SET deleted_at = indexed_at WHERE spool_name = ?",
                        (kept[0].spool_name,),
                    )

    waits = Meanwhile()
    assert check(site, waits) == {}
    assert len(waits) == 1


def test_strange_files_half_written_ones_and_quarantine_are_told(site: Site) -> None:
    root = site.folders.spool
    for path in ("new/core", "images/ab/notes.txt", "images/lost+found/x"):
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).touch()
    for name in ("dead", "alive"):
        (root / "tmp" / name).mkdir()
        (root / "tmp" / name / "0").write_bytes(b"half of it")
        (root / "tmp" / name / "1").touch()
    holder = os.open(root / "tmp" / "alive", os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    bad = put(site, STUDY, 1).spool_name
    site.spool.quarantine(bad, "of no use")
    found = check(site)
    os.close(holder)
    assert set(found) == {
        (Kind.STRANGE, "new/core"),
        (Kind.STRANGE, "images/ab/notes.txt"),
        (Kind.STRANGE, "images/lost+found"),
        (Kind.HALF_WRITTEN, "tmp/dead/0"),
        (Kind.QUARANTINED, f"quarantine/{bad}.dcm"),
    }


def test_a_damaged_notice_is_told(site: Site) -> None:
    notices = Notices(site.folders.spool)
    notice = Notice(
        operation=N_SET_RQ,
        sop_class_uid="1.2",
        sop_instance_uid="1.3",
        action_type_id=None,
        transfer_syntax_uid="1.2.840.10008.1.2",
        calling_ae_title="MR01",
        called_ae_title="APPLIANCE",
        peer_address="10.1.2.3",
        received_at=site.clock.now(),
    )
    notices.put(notice, b"12345678")
    assert check(site) == {}
    bad = notices.put(notice, b"12345678")
    turn_a_bit(site.folders.spool / "notices" / bad, -1)
    assert list(check(site)) == [(Kind.NOTICE, f"notices/{bad}")]


def test_the_pace_is_kept() -> None:
    class Still:
        def monotonic(self) -> float:
            return sum(waits)

        def now(self) -> None: ...

    waits = Waits()
    pace = Pace(Still(), 1000, sleep=waits.append)  # type: ignore[arg-type]
    for _ in range(4):
        pace.take(500)
    assert sum(waits) == pytest.approx(2.0)


def test_progress_goes_up_to_the_whole(site: Site, kept: list[ReceivedInstance]) -> None:
    pace = Pace(SystemClock(), None)
    found = SpoolCheck(site.folders.spool, site.store.overview.checksums, pace).run()
    steps = [one for one in found if isinstance(one, Progress)]
    assert [one.share for one in steps] == sorted(one.share for one in steps)
    assert (steps[-1].share, steps[-1].files) == (1.0, 6)
    assert steps[-1].size == sum(one.size for one in kept)


@pytest.mark.usefixtures("kept")
def test_the_command_says_it_and_changes_nothing(
    site: Site,
    kept: list[ReceivedInstance],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(soundness, "_BETWEEN_LOOKS", 0.0)
    config = str(tmp_path / "appliance.yaml")
    assert run(["check", "--spool", "--rate", "500 MB", "-c", config]) == 0
    assert "spool: 6 files" in capsys.readouterr().out
    turn_a_bit(site.spool.path(kept[0].spool_name), -1)
    site.spool.remove(kept[1].spool_name)
    before = sorted(site.folders.spool.rglob("*"))
    assert run(["check", "--spool", "-c", config]) == 1
    said = capsys.readouterr().out
    assert f"rot: {image(kept[0])}: its bytes are not those that were received" in said
    assert f"missing: {image(kept[1])}" in said
    assert "2 wrong; nothing was changed" in said
    assert sorted(site.folders.spool.rglob("*")) == before
    assert run(["check", "--spool", "--rate", "fast", "-c", config]) == 2
