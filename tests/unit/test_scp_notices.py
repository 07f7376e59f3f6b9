"""Notices are durable, in order, and one that is damaged stops no other."""

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.core.errors import BadInstance
from scp.command import N_CREATE_RQ
from scp.notices import Notice, Notices
from scp.spool import Spool

NOW = datetime(2026, 1, 2, 10, 15, tzinfo=UTC)


def notice(**changes: object) -> Notice:
    values: dict[str, object] = {
        "operation": N_CREATE_RQ,
        "sop_class_uid": "1.2.840.10008.3.1.2.3.3",
        "sop_instance_uid": "1.2.3",
        "action_type_id": None,
        "transfer_syntax_uid": "1.2.840.10008.1.2",
        "calling_ae_title": "MR01",
        "called_ae_title": "APPLIANCE",
        "peer_address": "127.0.0.1",
        "received_at": NOW,
    }
    return Notice(**values | changes)  # type: ignore[arg-type]


def test_a_notice_comes_back_as_it_was_put(tmp_path: Path) -> None:
    data = bytes(range(256)) + b"\n{}\n"
    name = Notices(tmp_path).put(notice(calling_ae_title="Ä\n../x"), data)
    again = Notices(tmp_path)  # another process
    assert again.names() == (name,)
    assert again.read(name) == (notice(name=name, calling_ae_title="Ä\n../x"), data)
    again.finish(name)
    again.finish(name)
    assert again.names() == ()


def test_notices_are_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    notices = Notices(tmp_path)
    times = (NOW, NOW, NOW - timedelta(hours=1), NOW + timedelta(seconds=1))
    assert notices.names() == ()
    put = [notices.put(notice(received_at=at), b"") for at in times]
    assert notices.names() == tuple(put)  # even where the clock went back


def test_whatever_a_peer_names_itself_the_file_lies_in_the_folder(tmp_path: Path) -> None:
    hostile = "../../etc/passwd\0\n"
    Notices(tmp_path / "spool").put(notice(sop_instance_uid=hostile, peer_address=hostile), b"x")
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert file.parent == tmp_path / "spool" / "notices"


@pytest.mark.parametrize("name", ["../x", "", "x", "0" * 16 + "-" + "0" * 16 + "\n"])
def test_a_name_that_is_not_ours_reaches_no_file(tmp_path: Path, name: str) -> None:
    notices = Notices(tmp_path)
    for method in (notices.read, notices.finish):
        with pytest.raises(ValueError, match="no name"):
            method(name)
    with pytest.raises(ValueError, match="no name"):
        notices.quarantine(name, "reason")


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut off in its head": lambda data: data[:50],
    "cut off in its data set": lambda data: data[:-1],
    "changed": lambda data: data[:-1] + b"?",
    "no JSON": lambda data: b"\xff" + data,
    "another JSON": lambda data: b"[1]\n" + data,
    "another key": lambda data: data.replace(b'"operation"', b'"operatiom"'),
    "nested": lambda data: b"[" * 100_000 + data,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_notice_is_put_aside_with_its_reason_and_stops_no_other(
    tmp_path: Path, damage: str
) -> None:
    notices = Notices(tmp_path)
    bad, good = notices.put(notice(), b"data"), notices.put(notice(), b"data")
    path = tmp_path / "notices" / bad
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with pytest.raises(BadInstance) as told:
        notices.read(bad)
    notices.quarantine(bad, str(told.value))
    assert notices.names() == (good,)
    assert notices.quarantined() == (bad,)
    assert (tmp_path / "quarantine" / f"{bad}.notice.txt").read_text() == f"{told.value}\n"
    assert Spool(tmp_path).quarantined() == ()  # no instance


def test_one_that_is_gone_is_told_and_putting_it_aside_does_nothing(tmp_path: Path) -> None:
    notices = Notices(tmp_path)
    name = notices.put(notice(), b"")
    notices.finish(name)
    with pytest.raises(BadInstance, match="not in the spool"):
        notices.read(name)
    notices.quarantine(name, "gone")
    assert notices.quarantined() == ()


def test_what_is_no_notice_is_not_listed(tmp_path: Path) -> None:
    notices = Notices(tmp_path)
    (tmp_path / "notices" / "README").write_text("")
    assert notices.names() == ()


def test_a_notice_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notices = Notices(tmp_path)
    order: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def note_fsync(descriptor: int) -> None:
        order.append(f"fsync {Path(f'/proc/self/fd/{descriptor}').readlink().name == 'notices'}")
        fsync(descriptor)

    def note_rename(path: Path, target: Path) -> Path:
        order.append("rename")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "rename", note_rename)
    notices.put(notice(), b"data")
    assert order == ["fsync False", "rename", "fsync True"]  # file, its name, its folder


def test_so_many_may_wait_and_no_more(tmp_path: Path) -> None:
    notices = Notices(tmp_path, most=2)
    first, _ = notices.put(notice(), b""), notices.put(notice(), b"")
    with pytest.raises(OSError, match="wait already") as told:
        notices.put(notice(), b"")
    assert told.value.errno == errno.EDQUOT
    notices.finish(first)
    notices.put(notice(), b"")


def test_the_disk_is_not_filled_with_notices(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="kept free"):
        Notices(tmp_path, refuse_below_bytes=2**62).put(notice(), b"")
    assert not list((tmp_path / "notices").iterdir())


def test_what_could_not_be_placed_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, target: Path) -> Path:
        raise OSError(errno.EIO, "no")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="no"):
        Notices(tmp_path).put(replace(notice(), name="x"), b"data")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
