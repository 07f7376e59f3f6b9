"""Folders of children: lent, written, gone afterwards, also after a worker that was killed."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from appliance.jobs.scratch import Scratch, remove

ROOT = Path(__file__).parents[2]
HOLD = (
    "import sys; from pathlib import Path; from appliance.jobs.scratch import Scratch\n"
    "room = Scratch(Path(sys.argv[1])).room(); print(room.work, flush=True); sys.stdin.read()\n"
)


def holder(parent: Path) -> tuple[subprocess.Popen[str], Path]:
    """Return a process that has a room under `parent`, and where that is."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(parent)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_what_a_killed_worker_left_is_swept_and_what_runs_is_left_alone(tmp_path: Path) -> None:
    dead, left = holder(tmp_path)
    alive, kept = holder(tmp_path)
    with dead, alive:
        dead.send_signal(signal.SIGKILL)
        dead.wait()
        assert left.is_dir()
        Scratch(tmp_path)
        assert not left.parent.parent.exists()
        assert kept.is_dir()
        alive.kill()


def test_what_is_no_folder_of_ours_stays(tmp_path: Path) -> None:
    (tmp_path / "note").write_text("mine")
    (tmp_path / "elsewhere").symlink_to("/")
    Scratch(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "note"]


def test_a_run_is_lent_its_images_in_their_order_and_both_folders_are_gone_after_it(
    tmp_path: Path,
) -> None:
    images = tuple(tmp_path / folder / "0001.dcm" for folder in ("b", "a"))
    for image in images:
        image.parent.mkdir()
        image.write_text(image.parent.name)
    scratch = Scratch(tmp_path / "scratch")
    room = scratch.room()
    with room.run({"head": images, "../other": images[:1]}) as (folder, files):
        assert [Path(path).read_text() for path in files["head"]] == ["b", "a"]
        assert all(Path(path).is_relative_to(room.inputs) for path in files["../other"])
        assert images[0].stat().st_nlink == 3, "nothing is copied"
        assert list(folder.iterdir()) == []
    assert not folder.exists()
    assert images[0].stat().st_nlink == 1
    scratch.close()
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a second file system")
def test_images_of_another_file_system_are_copied(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        image = Path(elsewhere) / "image"
        image.write_text("x")
        assert image.stat().st_dev != tmp_path.stat().st_dev
        room = Scratch(tmp_path).room()
        with room.run({"head": (image,)}) as (_, files):
            assert Path(files["head"][0]).read_text() == "x"
        assert image.read_text() == "x"


def test_programs_write_into_the_childs_own_folder(tmp_path: Path) -> None:
    room = Scratch(tmp_path).room()
    for name, folder in room.environment().items():
        assert name in ("HOME", "TMPDIR")
        assert Path(folder).is_dir()
        assert Path(folder).is_relative_to(room.work)


def test_a_folder_that_nobody_may_enter_is_removed_and_a_link_not_followed(
    tmp_path: Path,
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir(mode=0o755)
    (kept / "file").write_text("x")
    folder = tmp_path / "folder"
    (folder / "closed").mkdir(parents=True)
    (folder / "closed/file").write_text("x")
    (folder / "link").symlink_to(kept)
    os.chmod(folder / "closed", 0)  # noqa: PTH101, as a program would
    remove(folder)
    assert not folder.exists()
    assert (kept / "file").read_text() == "x"
    assert kept.stat().st_mode & 0o777 == 0o755
