"""`appliance pipeline run`: a cohort in shadow, killed and gone on with, some of it bad."""

import csv
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pydicom import dcmread

from appliance.cli.main import run
from appliance.core.clock import SystemClock
from appliance.core.errors import ApplianceError, TransientPipelineError
from appliance.core.model import Job
from appliance.core.states import JobState
from appliance.jobs.local import LocalExecutor, Outcome, Task
from appliance.trial.journal import Heading, Journal
from results_store.options import StoreOptions
from results_store.store import Store, open_store
from tests.appliance import PIPELINES, settings, write
from tests.builders import ct_series, mr_series, write_all
from tests.phantoms import slices


@pytest.fixture
def config(tmp_path: Path) -> str:
    data = settings(tmp_path, 104)
    data["pipelines"]["trouble"] = {"path": str(PIPELINES / "trouble"), "timeout": "20 s"}
    return str(write(tmp_path, data))


def cohort(config: str, pipeline: str, *options: object) -> int:
    arguments = ["pipeline", "run", pipeline, *map(str, options), "--shadow", "-c", config]
    return run(arguments)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def stored(folder: Path) -> Store:
    return open_store(StoreOptions(url=f"sqlite:///{folder}/data/store.db"), SystemClock())


def jobs(folder: Path) -> list[Job]:
    store = stored(folder)
    try:
        return sorted(store.jobs.list(), key=lambda job: job.job_id)
    finally:
        store.close()


def studies(folder: Path, *descriptions: str) -> None:
    for number, description in enumerate(descriptions):
        mr_series(folder / f"{number}", SeriesDescription=description)


def test_every_study_ends_somehow_and_none_stops_the_others(tmp_path: Path, config: str) -> None:
    studies(tmp_path / "all", "t1", "refuse", "crash", "raise", "t1")
    ct_series(tmp_path / "all" / "ct")
    (tmp_path / "all" / "notes.txt").write_text("no image")
    assert cohort(config, "trouble", tmp_path / "all", "--out", tmp_path / "r.csv") == 1
    ended = rows(tmp_path / "r-studies.csv")
    assert sorted(row["outcome"] for row in ended) == [
        "done", "done", "failed", "failed", "not-chosen", "refused",
    ]  # fmt: skip
    reasons = {row["reason"] for row in ended}
    assert "the image shows a knee" in reasons
    assert any("was ended by SIGSEGV" in reason for reason in reasons)
    assert any("Modality is CT, not MR" in reason for reason in reasons)
    assert not (tmp_path / "r.parquet").exists()
    assert "Synthetic" not in (tmp_path / "r-studies.csv").read_text()


def test_results_are_in_the_store_and_in_both_tables(tmp_path: Path, config: str) -> None:
    for number in range(2):
        write_all(slices(), tmp_path / "all" / f"{number}")
    assert cohort(config, "bright-volume", tmp_path / "all", "--out", tmp_path / "r") == 0
    measured = rows(tmp_path / "r.csv")
    assert [float(row["value"]) for row in measured] == pytest.approx([0.1875, 0.1875])
    assert {row["concept_value"] for row in measured} == {"118565006"}
    assert {row["unit_value"] for row in measured} == {"mL"}
    assert {row["device"] for row in measured} == {"cpu"}
    found = jobs(tmp_path)
    assert {row["pipeline_digest"] for row in measured} == {job.pipeline_digest for job in found}
    assert [row["job_id"] for row in measured] == [str(job.job_id) for job in found]
    table = pq.read_table(tmp_path / "r.parquet").to_pylist()
    assert [row["value"] for row in table] == pytest.approx([0.1875, 0.1875])
    assert {str(row["job_id"]) for row in table} == {row["job_id"] for row in measured}
    ended = pq.read_table(tmp_path / "r-studies.parquet").to_pylist()
    assert [row["images"] for row in ended] == [14, 14]
    assert all(row["seconds_infer"] >= 0 for row in ended)
    assert {job.route for job in found} == {"cohort:r"}
    assert {job.state for job in found} == {JobState.DONE}


def test_a_cohort_is_no_news_to_anybody(tmp_path: Path, config: str) -> None:
    studies(tmp_path / "all", "t1", "refuse", "raise")
    cohort(config, "trouble", tmp_path / "all", "--out", tmp_path / "r.csv", "--name", "pilot")
    found = jobs(tmp_path)
    assert [job.route for job in found] == ["cohort:pilot"] * 3
    store = stored(tmp_path)
    try:
        now = SystemClock().now()
        assert store.overview.jobs() == {}
        assert store.jobs.list(cohorts=False) == ()
        assert store.studies.search(limit=10) == ()
        assert store.jobs.claim("w", ("trouble",), timedelta(minutes=1), now) is None
        for job in found:
            assert store.jobs.sends(job.job_id) == ()
            assert store.results.objects(job.job_id) == ()
        features = store.results.features(found[0].job_id)
        assert "runs" in {feature.name for feature in features}
    finally:
        store.close()
    for job in found:
        assert run(["jobs", "retry", str(job.job_id), "-c", config]) == 1
        assert run(["jobs", "resubmit", str(job.job_id), "-c", config]) == 1


def journal_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_a_run_that_was_killed_goes_on_where_it_was(
    tmp_path: Path, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    studies(tmp_path / "all", *["slow"] * 4)
    options = [str(tmp_path / "all"), "--out", str(tmp_path / "r.csv")]
    command = [sys.executable, "-m", "appliance", "pipeline", "run", "trouble", *options]
    process = subprocess.Popen([*command, "--shadow", "-c", config], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while journal_lines(tmp_path / "r.jsonl") < 3:  # the heading and two studies
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = {job.study_instance_uid for job in jobs(tmp_path)[:2]}
    with (tmp_path / "r.jsonl").open("ab") as file:
        file.write(b'{"study": {"study_inst')  # what a power cut leaves of a line
    assert cohort(config, "trouble", *options) == 1
    assert "go on with it by --resume" in capsys.readouterr().err
    assert cohort(config, "trouble", *options, "--resume") == 0
    ended = rows(tmp_path / "r-studies.csv")
    assert len({row["study_instance_uid"] for row in ended}) == len(ended) == 4
    assert {row["outcome"] for row in ended} == {"done"}
    again = [job for job in jobs(tmp_path) if job.study_instance_uid in before]
    assert len(again) == 2
    assert "4 studies, 2 of them settled before" in capsys.readouterr().err


def test_failed_studies_are_tried_again_when_asked_for(tmp_path: Path, config: str) -> None:
    studies(tmp_path / "all", "t1", "raise")
    options = (tmp_path / "all", "--out", tmp_path / "r.csv")
    assert cohort(config, "trouble", *options) == 1
    assert cohort(config, "trouble", *options, "--resume") == 1
    assert len(jobs(tmp_path)) == 2
    assert cohort(config, "trouble", *options, "--resume", "--retry") == 1
    numbers = [(job.run_number, job.state) for job in jobs(tmp_path)]
    assert numbers == [(1, JobState.DONE), (1, JobState.FAILED), (2, JobState.FAILED)]
    assert len(rows(tmp_path / "r-studies.csv")) == 2


def test_what_may_pass_is_tried_once_more(
    tmp_path: Path, config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[str] = []

    class Flaky(LocalExecutor):
        def run(self, task: Task, **more: Any) -> Outcome | None:
            tries.append(task.run_uid)
            if len(tries) == 1:
                raise TransientPipelineError("the licence server did not answer")
            return super().run(task, **more)

    monkeypatch.setattr("appliance.wiring.work.LocalExecutor", Flaky)
    studies(tmp_path / "all", "t1")
    assert cohort(config, "trouble", tmp_path / "all", "--out", tmp_path / "r.csv") == 0
    assert len(tries) == 2
    assert len(set(tries)) == 1


def test_another_version_is_another_cohort(
    tmp_path: Path, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    studies(tmp_path / "all", "t1")
    options = (tmp_path / "all", "--out", tmp_path / "r.csv")
    assert cohort(config, "trouble", *options) == 0
    assert cohort(config, "bright-volume", *options, "--resume") == 1
    assert "were run with pipeline trouble, this would be bright-volume" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "text", "options"),
    [
        ("list.txt", "all/0\n\nall/2\nall/1/0001.dcm\nall/nowhere\n", ()),
        (
            "list.csv",
            "patient,where\n1,all/0\n2,all/2\n3,all/1/0001.dcm\n4,all/nowhere\n",
            ("--column", "where"),
        ),
    ],
)
def test_a_list_names_folders_and_files(
    tmp_path: Path,
    config: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    text: str,
    options: tuple[str, ...],
) -> None:
    studies(tmp_path / "all", "t1", "t1", "t1")
    (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    cohort(config, "bright-volume", name, "--out", "r.csv", *options)
    ended = [(row["outcome"], row["images"]) for row in rows(tmp_path / "r-studies.csv")]
    assert ended == [("done", "6"), ("done", "6"), ("refused", "1")]  # a slice is no volume
    assert f"not there: {Path('all', 'nowhere')}" in capsys.readouterr().err


def test_series_of_one_study_are_one_study_wherever_they_lie(tmp_path: Path, config: str) -> None:
    first = mr_series(tmp_path / "all" / "a")
    uid = str(dcmread(first[0]).StudyInstanceUID)
    mr_series(tmp_path / "all" / "b", slices=8, study_instance_uid=uid)
    assert cohort(config, "bright-volume", tmp_path / "all", "--out", tmp_path / "r.csv") == 0
    (row,) = rows(tmp_path / "r-studies.csv")
    assert (row["study_instance_uid"], row["images"]) == (uid, "8")


@pytest.mark.parametrize(
    "arguments",
    [
        ["bright-volume", "."],
        ["bright-volume", "/nowhere", "--shadow"],
        ["bright-volume", ".", "--shadow", "--retry"],
        ["bright-volume", "LIST.csv", "--shadow"],
    ],
)
def test_what_is_typed_wrong_is_usage(
    tmp_path: Path, config: str, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "LIST.csv").write_text("folder\nall\n")
    assert run(["pipeline", "run", *arguments, "-c", config]) == 2
    assert not (tmp_path / "cohort.jsonl").exists()


def test_a_pipeline_that_nobody_knows_is_a_matter_of_configuration(
    tmp_path: Path, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cohort(config, "bright-volumes", tmp_path) == 78
    assert "did you mean 'bright-volume'?" in capsys.readouterr().err


def test_two_runs_never_write_one_journal(tmp_path: Path) -> None:
    heading = Heading(cohort="c", pipeline="p", version="1", digest="d")
    with (
        Journal(tmp_path / "c.jsonl", heading, resume=False),
        pytest.raises(ApplianceError, match="another run is writing it"),
    ):
        Journal(tmp_path / "c.jsonl", heading, resume=True)


def test_no_route_may_be_called_as_a_cohort_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = settings(tmp_path, 104)
    data["routes"] = [{**data["routes"][0], "name": "cohort:one"}]
    assert run(["check", "-c", str(write(tmp_path, data))]) == 78
    assert "begins the name of a cohort" in capsys.readouterr().err
