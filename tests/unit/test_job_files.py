"""Encoded objects become files that nobody replaces; folders are hashed when they change."""

import hashlib
import os
from pathlib import Path

import pytest

from appliance.jobs.folders import Folders
from appliance.jobs.results import keep_only, write_object
from pipelines.encode import EncodedObject
from tests.unit.test_pipelines_manifest import copy

RUN = "2.25.7"


def encoded(data: bytes = b"first", kind: str = "sr") -> EncodedObject:
    return EncodedObject(
        kind=kind,
        sop_class_uid="1.2",
        sop_instance_uid="2.25.1",
        series_instance_uid="2.25.2",
        series_description="a report",
        data=data,
    )


def files(root: Path) -> set[str]:
    return {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}


def test_an_object_becomes_a_file_with_its_hash_and_size(tmp_path: Path) -> None:
    written = write_object(tmp_path, RUN, encoded())
    assert (tmp_path / written.path).read_bytes() == b"first"
    assert written.sha256 == hashlib.sha256(b"first").hexdigest()
    assert written.size == 5
    assert files(tmp_path) == {written.path}


def test_a_late_attempt_never_replaces_a_file_that_another_one_committed(tmp_path: Path) -> None:
    committed = write_object(tmp_path, RUN, encoded())
    late = write_object(tmp_path, RUN, encoded(b"other"))
    assert (tmp_path / committed.path).read_bytes() == b"first"
    assert late.path != committed.path


def test_after_the_commit_only_the_committed_files_stay(tmp_path: Path) -> None:
    write_object(tmp_path, RUN, encoded(b"of a killed attempt"))
    other_run = write_object(tmp_path, "2.25.8", encoded())
    committed = (
        write_object(tmp_path, RUN, encoded()),
        write_object(tmp_path, RUN, encoded(b"seg", "seg")),
    )
    keep_only(tmp_path, RUN, committed)
    assert files(tmp_path) == {other_run.path, *(item.path for item in committed)}


def test_a_file_is_on_disk_before_it_has_its_name_and_its_folders_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []

    def fsync(descriptor: int) -> None:
        target = Path(f"/proc/self/fd/{descriptor}").readlink()
        named = any(name.endswith(".dcm") for name in files(tmp_path))
        synced.append(f"{'folder' if target.is_dir() else 'file'} {named}")

    monkeypatch.setattr(os, "fsync", fsync)
    write_object(tmp_path, RUN, encoded())
    assert synced == ["file False", "folder True", "folder True", "folder True"]


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_object(tmp_path, RUN, encoded())
    assert files(tmp_path) == set()


def test_a_folder_is_hashed_again_only_when_a_file_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy(tmp_path)
    folders = Folders()
    first = folders.digest_of(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("appliance.jobs.folders.digest", lambda _: "hashed again")
        assert folders.digest_of(tmp_path) == first
    (tmp_path / "pipeline.py").write_text("two")
    assert folders.digest_of(tmp_path) != first
