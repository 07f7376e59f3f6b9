"""Commands that need no running appliance: what they say, and with which exit code."""

import io
import json
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperGroup

from appliance.cli.common import WIDTH, show_rows
from appliance.cli.main import command_line, run
from tests.appliance import settings, write

LINE = 63  # what fits beside the longest command on 80 columns


@pytest.fixture
def config(tmp_path: Path) -> str:
    return str(write(tmp_path, settings(tmp_path, 104)))


def summaries() -> dict[str, str]:
    group = typer.main.get_command(command_line(""))
    assert isinstance(group, TyperGroup)
    found: dict[str, str] = {}
    for name, command in group.commands.items():
        found[name] = command.get_short_help_str(1000)
        if isinstance(command, TyperGroup):
            for second, below in command.commands.items():
                found[f"{name} {second}"] = below.get_short_help_str(1000)
    return found


@pytest.mark.parametrize("name", summaries())
def test_a_command_is_explained_in_one_line(name: str) -> None:
    text = summaries()[name]
    assert text[0].isupper()
    assert text.endswith(".")
    assert len(text) <= LINE


def test_a_pause_tells_the_whole_command_that_ends_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = settings(tmp_path, 104)
    data["routes"] = [{**data["routes"][0], "name": "two words"}]
    config = str(write(tmp_path, data))
    assert run(["pause", "route", "two words", "-c", config]) == 0
    assert "`appliance resume route 'two words'`" in capsys.readouterr().out
    assert run(["resume", "route", "two word", "-c", config]) == 1
    assert "did you mean 'two words'?" in capsys.readouterr().err
    assert run(["resume", "route", "two words", "-c", config]) == 0
    assert run(["resume", "route", "two words", "-c", config]) == 1
    assert "no route 'two words' is paused; none is" in capsys.readouterr().err


def test_a_password_comes_from_a_pipe_when_asked_for(
    config: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("long enough\n"))
    assert run(["users", "add", "anna", "--role", "admin", "--password-stdin", "-c", config]) == 0
    assert run(["users", "add", "anna", "-c", config]) == 1
    assert "`appliance users password`" in capsys.readouterr().err
    assert run(["users", "list", "--json", "-c", config]) == 0
    (account,) = json.loads(capsys.readouterr().out)
    assert list(account) == ["name", "role", "created_at", "disabled_at"]
    assert (account["role"], account["created_at"][10]) == ("admin", "T")


@pytest.mark.parametrize(
    ("arguments", "typed", "said"),
    [
        (["users", "add", "anna"], "long enough\n", "--password-stdin"),
        (["users", "add", "anna", "--password-stdin"], "short\n", "10 to 200 characters"),
        (["users", "add", "anna", "--password-stdin"], "", "10 to 200 characters"),
        (["users", "password", "anna", "--password-stdin"], "long enough\n", "no account 'anna'"),
        (["users", "disable", "anna"], "", "no account 'anna'"),
        (["link", ""], "", "no Study Instance UID"),
        (["link", "../etc"], "", "no Study Instance UID"),
        (["explain", "/nowhere"], "", "neither a folder"),
        (["explain", "1.2.3"], "", "no image of study 1.2.3"),
        (["jobs", "retry", "7"], "", "no job 7"),
        (["deliveries", "resend", "7"], "", "no delivery 7"),
        (["backup", "/nowhere/store.db"], "", "/nowhere/store.db: No such file"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    config: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    typed: str,
    said: str,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    assert run([*arguments, "-c", config]) == 1
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1


def test_a_folder_without_images_says_what_was_left_out(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["explain", str(tmp_path), "-c", config]) == 1
    assert "appliance.yaml: StudyInstanceUID is missing" in capsys.readouterr().err


def test_a_silent_destination_is_an_exit_code(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["check", "-c", config]) == 0
    assert run(["check", "--peers", "-c", config]) == 1
    assert "pacs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("certificate", "said"), [(None, "No such file"), ("not PEM", "name a PEM certificate")]
)
def test_a_certificate_that_the_pages_could_not_use_is_found_by_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], certificate: str | None, said: str
) -> None:
    paths = {"certificate": tmp_path / "web.pem", "key": tmp_path / "web.key"}
    for path in paths.values():
        if certificate is not None:
            path.write_text(certificate)
    data = settings(tmp_path, 104)
    data["web"]["tls"] = {name: str(path) for name, path in paths.items()}
    assert run(["check", "-c", str(write(tmp_path, data))]) == 78
    assert said in capsys.readouterr().err


def test_a_data_folder_that_cannot_be_made_is_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = settings(tmp_path, 104)
    (tmp_path / "file").touch()
    data["appliance"]["data_dir"] = str(tmp_path / "file" / "data")
    assert run(["check", "-c", str(write(tmp_path, data))]) == 0
    assert "this user cannot write there" in capsys.readouterr().out


def test_a_missing_settings_file_says_how_to_name_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "-c", "/nowhere.yaml"]) == 78
    assert "--config or APPLIANCE_CONFIG" in capsys.readouterr().err


def test_what_is_too_long_for_a_column_stands_below_its_row(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [{"job": 7, "state": "failed", "reason": "no memory " * 30}]
    show_rows(rows, columns=("job", "state"), as_json=False, below=lambda row: f"{row['reason']}")
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["job  state", "7    failed"]
    assert len(lines) == 6
    assert all(line.startswith(("    no ", "    memory")) for line in lines[2:])
    assert max(map(len, lines)) <= WIDTH
