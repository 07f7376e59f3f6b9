"""Outside programs: how they end, what they leave behind, what is said then."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from appliance.core.clock import SystemClock
from appliance.core.errors import (
    ApplianceError,
    InputRefused,
    PermanentPipelineError,
    TransientPipelineError,
)
from appliance.jobs.local import LocalExecutor
from tests.commands import Commands, notes
from tests.phantoms import Stored

Fails = Callable[..., str]


@pytest.fixture
def fails(commands: Commands, stored: Stored) -> Fails:
    """Return what is said where the program, told to `do` this, has no result."""

    def run(do: str, kind: type[ApplianceError] = PermanentPipelineError, **options: Any) -> str:
        folder = commands.folder("plain", adopt=["sc"], exits={"75": "retry", "66": "refused"})
        with pytest.raises(ApplianceError) as error:
            commands.run(folder, stored, do, **options)
        assert type(error.value) is kind
        return str(error.value)

    return run


# -- how it ends ------------------------------------------------------------------------------


def test_half_of_its_output_is_not_used_where_it_fails(fails: Fails) -> None:
    why = fails("file=half.dcm;print=no memory for the rest;exit=3")
    assert why == (
        "the program of plain ended with exit code 3; nothing of what it had written by then was "
        "used; it last wrote: no memory for the rest"
    )


def test_exit_codes_mean_what_the_manifest_says(fails: Fails) -> None:
    assert "exit code 75" in fails("exit=75", TransientPipelineError)
    assert "exit code 66" in fails("exit=66", InputRefused)
    assert "exit code 74" in fails("exit=74")


def test_a_signal_is_worth_another_attempt(fails: Fails) -> None:
    assert "was ended by SIGSEGV" in fails("signal=11", TransientPipelineError)


def test_last_words_do_not_tell_who_the_patient_is(fails: Fails) -> None:
    why = fails("name;print=SYNTHETIC-1 born 19700101;exit=1")
    assert "it last wrote: of *** | *** born ***" in why


def test_a_gigabyte_of_words_stops_nothing(
    commands: Commands, stored: Stored, caplog: pytest.LogCaptureFixture
) -> None:
    folder = commands.folder("wordy", numbers={"notes": []})
    assert notes(commands.run(folder, stored, "print-much=1024;json={}")) == []
    assert sum(len(record.getMessage()) for record in caplog.records) < 200_000


def test_many_lines_are_passed_on_only_at_the_beginning(
    fails: Fails, caplog: pytest.LogCaptureFixture
) -> None:
    why = fails("lines=100000;exit=1")
    assert why.endswith("line 00099998 | line 00099999")
    assert why.count(" | ") == 4
    lines = [record.getMessage() for record in caplog.records if "line 0" in record.getMessage()]
    assert lines[0] == "line 00000000"
    assert len(lines) <= 500


def is_running(number: int) -> bool:
    """Return whether the process is there and no zombie."""
    try:
        stat = Path(f"/proc/{number}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_a_daemon_that_it_leaves_behind_is_ended(fails: Fails) -> None:
    why = fails("daemon=60;exit=1")
    number = int(why.rpartition(" ")[2])
    assert not is_running(number)


def test_a_program_that_ends_while_its_daemon_prints_is_not_waited_for(
    commands: Commands, stored: Stored
) -> None:
    folder = commands.folder("daemonic", numbers={"notes": []})
    assert commands.run(folder, stored, "daemon=600;json={}").seconds["infer"] < 30


def number_in(error: ApplianceError) -> int:
    """Return the process that a shell called itself in its last words."""
    found = re.search(r"I am (\d+)", str(error))
    assert found is not None
    return int(found[1])


def test_the_time_limit_ends_the_program_too(commands: Commands, stored: Stored) -> None:
    shell = 'echo I am $$; sleep "$0"; true'
    folder = commands.folder("shell", arguments=["sh", "-c", shell, "{parameter:do}"], adopt=["sc"])
    with pytest.raises(PermanentPipelineError, match="no DICOM object"):
        commands.run(folder, stored, "0")  # the child is warm from here on
    with pytest.raises(TransientPipelineError, match="longer than its limit of 3 s") as error:
        commands.run(folder, stored, "60", timeout=timedelta(seconds=3))
    assert not is_running(number_in(error.value))


def test_a_client_of_containers_may_wait_and_a_program_may_not(
    commands: Commands, stored: Stored
) -> None:
    hang = timedelta(seconds=3)
    waiting = commands.folder("client", numbers={"notes": []}, isolation="own")
    assert notes(commands.run(waiting, stored, "sleep=8;json={}", hang=hang)) == []
    hanging = commands.folder("hanging", numbers={"notes": []})
    with pytest.raises(TransientPipelineError, match="hung"):
        commands.run(hanging, stored, "sleep=60;json={}", hang=hang)


def test_a_child_that_is_killed_takes_the_program_with_it(
    commands: Commands, stored: Stored
) -> None:
    shell = "echo I am $$; sleep 0.5; kill -9 $PPID; sleep 60; true"
    folder = commands.folder("parricide", arguments=["sh", "-c", shell], adopt=["sc"])
    with pytest.raises(TransientPipelineError) as error:
        commands.run(folder, stored)
    assert not is_running(number_in(error.value))


def test_a_program_that_is_not_there_is_told_before_a_study_is_read(
    commands: Commands, stored: Stored
) -> None:
    for name, first, told in (
        ("absent", "no-such-program", "no-such-program is not installed on this machine"),
        ("moved", "./run.sh", "run.sh is not there"),
    ):
        folder = commands.folder(name, arguments=[first, "{input}"], adopt=["sc"])
        with pytest.raises(PermanentPipelineError, match=told):
            commands.run(folder, stored)
    folder = commands.folder("unmarked", arguments=["./program.py", "{input}"], adopt=["sc"])
    with pytest.raises(PermanentPipelineError, match="cannot be started: Permission denied"):
        commands.run(folder, stored)


# -- what it leaves ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("do", "told"),
    [
        ("link=/etc/hostname", "linked.dcm in its output is a link"),
        ("link=/", "linked.dcm in its output is a link"),
        ("fifo", "pipe.dcm in its output is no plain file"),
        ("replace=/etc", "its output folder is no folder any more"),
        ("many=2001", "it wrote more than 2000 files and folders"),
        ("file=1/2/3/4/5/6/7/8/9.txt", "its output is more than 8 folders deep"),
        ("file=a.txt", "it wrote 1 files and no DICOM object among them"),
    ],
)
def test_output_that_is_no_bounded_folder_of_files_is_refused(
    do: str, told: str, fails: Fails
) -> None:
    assert told in fails(do)


def test_output_and_disk_have_limits(commands: Commands, stored: Stored) -> None:
    folder = commands.folder("large", adopt=["sc"], output_size="1 MB")
    with pytest.raises(PermanentPipelineError, match=r"2.1 MB of output, more than its limit"):
        commands.run(folder, stored, "large=2")
    with pytest.raises(TransientPipelineError, match=r"wrote \d+ MiB, more than its limit of 40"):
        commands.run(folder, stored, "large=60;sleep=60", disk=40 << 20)


def test_nothing_stays_of_a_run(tmp_path: Path, stored: Stored) -> None:
    executor = LocalExecutor(warm_children=1, clock=SystemClock(), scratch=tmp_path)
    commands = Commands(tmp_path / "pipelines", executor)
    folder = commands.folder("tidy", numbers={"notes": []})
    try:
        commands.run(folder, stored, "json={}")
        with pytest.raises(PermanentPipelineError):
            commands.run(folder, stored, "file=a;exit=1")
    finally:
        executor.close()
    assert [path.name for path in tmp_path.iterdir()] == ["pipelines"]


def test_a_program_that_finds_nothing_may_say_so_by_writing_nothing(
    commands: Commands, stored: Stored, fails: Fails
) -> None:
    assert "it wrote 0 files and no DICOM object among them" in fails("print=nothing here")
    folder = commands.folder("silent", adopt=["sc"], no_objects="nothing-found")
    output = commands.run(folder, stored).output
    assert output.made is None
    (report,) = commands.encode(folder, stored, output)
    assert report.kind == "sr"
