"""The spool keeps what it promised and nothing else."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest
from blake3 import blake3
from pydicom import dcmread, dcmwrite
from pydicom.uid import ExplicitVRLittleEndian

from appliance.core.crashpoints import VARIABLE, CrashPoint
from appliance.core.errors import BadInstance
from appliance.core.product import APPLIANCE_DEVICE_UID
from scp.filemeta import Provenance
from scp.head import Identity
from scp.incoming import spool_name
from scp.scratch import lock_folder
from scp.spool import Spool
from tests.builders import mr_slices

NOW = datetime(2026, 1, 2, 10, 15, tzinfo=UTC)


def sample(number: int = 1) -> tuple[bytes, Provenance]:
    (dataset,) = mr_slices(
        slices=1,
        SOPInstanceUID=f"1.2.{number}",
        study_instance_uid="1.9",
        series_instance_uid="1.8",
        frame_of_reference_uid="1.7",
    )
    provenance = Provenance(
        sop_class_uid=dataset.SOPClassUID,
        sop_instance_uid=dataset.SOPInstanceUID,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        calling_ae_title="MR01",
        called_ae_title="APPLIANCE",
        peer_address="127.0.0.1",
        received_at=NOW - timedelta(seconds=1),
    )
    del dataset.file_meta
    stream = BytesIO()
    dcmwrite(stream, dataset, implicit_vr=False, little_endian=True)
    return stream.getvalue(), provenance


def put(spool: Spool, data: bytes, provenance: Provenance) -> tuple[str, bool]:
    writer = spool.writer(provenance)
    for start in range(0, len(data), 100):
        writer.write(data[start : start + 100])
    instance, is_new = writer.commit(writer.identity(), NOW)
    return instance.spool_name, is_new


def test_the_data_set_lies_there_bit_by_bit_with_its_provenance(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    data, provenance = sample()

    name, is_new = put(spool, data, provenance)

    assert is_new
    assert spool.new_entries() == (name,)
    assert spool.path(name).read_bytes().endswith(data)
    instance = spool.read(name)
    assert instance.checksum == f"blake3:{blake3(data).hexdigest()}"
    assert instance.received_at == NOW
    assert (instance.calling_ae_title, instance.called_ae_title) == ("MR01", "APPLIANCE")
    assert (instance.study_instance_uid, instance.sop_instance_uid) == ("1.9", "1.2.1")
    assert instance.size == spool.path(name).stat().st_size
    assert list((tmp_path / "spool" / "tmp").glob("*/*")) == []


def test_other_readers_find_a_regular_part_10_file(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    name, _ = put(spool, *sample())

    read = dcmread(spool.path(name))

    assert read.file_meta.SourceApplicationEntityTitle == "MR01"
    assert read.file_meta.ReceivingApplicationEntityTitle == "APPLIANCE"
    assert read.file_meta.PrivateInformationCreatorUID == APPLIANCE_DEVICE_UID
    assert read.PatientID == "SYNTHETIC-1"


def test_the_same_instance_again_is_dropped(tmp_path: Path) -> None:
    spool = Spool(tmp_path)

    name, is_new = put(spool, *sample())
    again = put(spool, *sample())
    spool.adopt(name)
    spool.finish(name)
    after_adoption = put(spool, *sample())

    assert is_new
    assert again == after_adoption == (name, False)


def test_other_bytes_under_the_same_uid_are_another_entry(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    data, provenance = sample()
    changed = data.replace(b"SYNTHETIC-1 ", b"SYNTHETIC-2 ")

    assert put(spool, data, provenance)[0] != put(spool, changed, provenance)[0]


def test_a_discarded_instance_leaves_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    data, provenance = sample()
    writer = spool.writer(provenance)
    writer.write(data)

    writer.discard()
    writer.discard()

    assert spool.new_entries() == ()
    assert list(tmp_path.glob("tmp/*/*")) == []


def test_entries_come_oldest_first(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    names = [put(spool, *sample(number))[0] for number in range(5)]
    for age, name in enumerate(reversed(names)):
        os.utime(spool.path(name), ns=(age, age))

    assert spool.new_entries() == tuple(reversed(names))


def test_adopting_and_finishing_hands_over_once_however_often_it_is_repeated(
    tmp_path: Path,
) -> None:
    spool = Spool(tmp_path)
    data, provenance = sample()
    name, _ = put(spool, data, provenance)

    spool.adopt(name)
    spool.adopt(name)
    assert spool.new_entries() == (name,)
    spool.finish(name)
    spool.finish(name)
    spool.adopt(name)

    assert spool.new_entries() == ()
    assert spool.all_names() == {name}
    assert spool.path(name) == tmp_path / "images" / name[:2] / f"{name}.dcm"
    assert spool.path(name).read_bytes().endswith(data)


def test_a_quarantined_entry_lies_apart_with_its_reason(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    name, _ = put(spool, *sample())

    spool.quarantine(name, "no such thing")

    assert spool.all_names() == frozenset()
    assert (tmp_path / "quarantine" / f"{name}.txt").read_text() == "no such thing\n"
    assert (tmp_path / "quarantine" / f"{name}.dcm").exists()


def test_what_is_not_there_is_a_bad_instance(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for call in (spool.path, spool.read, spool.adopt):
        with pytest.raises(BadInstance):
            call("0" * 64)


def test_a_name_that_is_no_hash_never_becomes_a_path(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for call in (spool.path, spool.remove, spool.adopt, spool.finish):
        with pytest.raises(ValueError, match="no name of the spool"):
            call("../../etc/passwd")


def test_a_foreign_file_among_the_entries_is_a_bad_instance_and_stops_nothing(
    tmp_path: Path,
) -> None:
    spool = Spool(tmp_path)
    for number, content in enumerate((b"", b"text", bytes(128) + b"DICM", bytes(200))):
        (tmp_path / "new" / f"{number:064x}").write_bytes(content)
    (tmp_path / "new" / "lost+found").mkdir()

    assert len(spool.new_entries()) == 4
    for name in spool.new_entries():
        with pytest.raises(BadInstance):
            spool.read(name)


CRASHING = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from scp.scratch import lock_folder
from scp.spool import Spool
from tests.unit.test_scp_spool import put, sample
put(Spool(Path({spool!r})), *sample())
"""


@pytest.mark.parametrize(
    ("point", "recovered"),
    [(CrashPoint.SPOOL_BEFORE_LINK, 1), (CrashPoint.SPOOL_AFTER_LINK, 0)],
)
def test_a_killed_process_leaves_a_whole_entry_or_a_whole_file_that_becomes_one(
    tmp_path: Path, point: CrashPoint, recovered: int
) -> None:
    script = CRASHING.format(root=str(Path.cwd()), spool=str(tmp_path))
    (tmp_path / "armed").mkdir()
    (tmp_path / "armed" / point.value).touch()
    environment = {**os.environ, VARIABLE: str(tmp_path / "armed")}
    killed = subprocess.run([sys.executable, "-c", script], env=environment, check=False)
    assert killed.returncode == -9

    spool = Spool(tmp_path)
    kept = spool.writer(sample()[1])  # this process receives while it sweeps

    assert len(spool.sweep()) == recovered
    (name,) = spool.new_entries()
    assert spool.path(name).read_bytes().endswith(sample()[0])
    kept.write(bytes(2_000_000))
    kept.discard()
    assert spool.sweep() == ()


def test_a_folder_that_another_process_holds_is_not_swept(tmp_path: Path) -> None:
    script = (
        CRASHING.format(root=str(Path.cwd()), spool=str(tmp_path))
        .replace("put(Spool", "w = (lambda s, x: s.writer(x[1]))(Spool")
        .replace("*sample()", "sample()")
    )
    script += "w.write(bytes(2_000_000))\n"  # more than is held in memory
    script += "print('ready', flush=True); sys.stdin.read()\n"
    other = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdin is not None
    assert other.stdout is not None
    with other:
        other.stdout.readline()
        spool = Spool(tmp_path)
        assert spool.sweep() == ()
        assert len(list(tmp_path.glob("tmp/*/*"))) == 1
        other.stdin.close()
        other.wait(20)
    assert spool.sweep() == ()
    assert list(tmp_path.glob("tmp/*/*")) == []
    assert len(list(tmp_path.glob("quarantine/half-*.part"))) == 1


def test_the_name_depends_on_each_uid_and_on_the_content(tmp_path: Path) -> None:
    def identity(*, study: str = "1", series: str = "2", sop: str = "3") -> Identity:
        return Identity(
            study_instance_uid=study,
            series_instance_uid=series,
            sop_instance_uid=sop,
            sop_class_uid="4",
        )

    names = {
        spool_name(identity(), "a"),
        spool_name(identity(), "b"),
        spool_name(identity(study="9"), "a"),
        spool_name(identity(series="9"), "a"),
        spool_name(identity(sop="9"), "a"),
    }
    assert len(names) == 5


def test_the_file_is_on_the_disk_before_it_has_its_name_and_the_name_before_it_is_promised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path)
    steps: list[str] = []
    fsync, fdatasync, link = os.fsync, os.fdatasync, os.link

    def noted_fsync(descriptor: int) -> None:
        steps.append("fsync " + Path(f"/proc/self/fd/{descriptor}").readlink().parent.name)
        fsync(descriptor)

    def noted_fdatasync(descriptor: int) -> None:
        steps.append("fdatasync " + Path(f"/proc/self/fd/{descriptor}").readlink().parent.name)
        fdatasync(descriptor)

    def noted_link(source: Path, target: Path) -> None:
        steps.append(f"link {target.parent.name}")
        link(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "fdatasync", noted_fdatasync)
    monkeypatch.setattr(os, "link", noted_link)
    name, _ = put(spool, *sample())
    received, steps[:] = list(steps), []
    put(spool, *sample())
    duplicate, steps[:] = list(steps), []
    spool.adopt(name)

    scratch = next((tmp_path / "tmp").iterdir()).name
    assert received == [f"fdatasync {scratch}", "link new", f"fsync {tmp_path.name}"]
    assert duplicate == [f"fsync {tmp_path.name}"]
    assert steps == [f"fsync {tmp_path.name}", f"link {name[:2]}", "fsync images"]


def test_many_entries_wait_for_the_disk_once_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path)
    names = [f"{folder}{number:062x}" for folder in ("aa", "bb") for number in range(20)]
    for name in names:
        (tmp_path / "new" / name).write_bytes(b"x")
    spool.adopt_all(names[:1])
    synced: list[str] = []
    monkeypatch.setattr("scp.spool.sync_folder", lambda folder: synced.append(folder.name))
    spool.adopt_all(names)
    assert sorted(synced) == ["aa", "bb", "images"]  # the last one for the new folder
    assert {name for _, found in spool.adopted_names() for name in found} == set(names)
    assert [prefix for prefix, _ in spool.adopted_names()] == ["aa", "bb"]
    with pytest.raises(BadInstance):
        spool.adopt_all(["c" * 64])


def test_a_folder_that_another_process_swept_at_this_moment_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Receivers start together, and each sweeps: one opens what the other is removing."""
    spool = Spool(tmp_path / "spool")
    (spool.root / "tmp" / "1-gone").mkdir()

    def too_late(folder: Path) -> int | None:
        held = lock_folder(folder)
        folder.rmdir()
        return held

    monkeypatch.setattr("scp.scratch.lock_folder", too_late)
    assert spool.sweep() == ()
