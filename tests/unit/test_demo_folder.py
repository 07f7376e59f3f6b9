"""What the demo leaves behind."""

from pathlib import Path

from appliance.demo.stage import work_folder


def test_of_a_scratch_folder_only_what_the_report_names_stays() -> None:
    named: list[Path] = []
    with work_folder(None, named) as folder:
        for name in ("pacs/result.dcm", "pacs/image.dcm", "data/spool/image.dcm"):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        named.append(folder / "pacs/result.dcm")
    assert [path for path in folder.rglob("*") if path.is_file()] == named
    assert not (folder / "data").exists()
    named[0].unlink()
    named[0].parent.rmdir()
    folder.rmdir()


def test_a_scratch_folder_of_which_nothing_is_named_is_gone() -> None:
    with work_folder(None, ()) as folder:
        (folder / "log").touch()
    assert not folder.exists()


def test_a_folder_to_keep_stays_whole(tmp_path: Path) -> None:
    with work_folder(tmp_path / "kept", ()) as folder:
        (folder / "log").touch()
    assert (tmp_path / "kept/log").exists()
