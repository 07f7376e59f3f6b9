"""Export and backup, while everything runs."""

import csv
import json
import shutil
import subprocess
import threading
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from appliance.core.errors import StoreError
from results_store.backup import backup
from results_store.export import export
from results_store.options import StoreOptions, parse_url, sqlite_file
from results_store.store import Store, open_store
from tests.postgres import PostgresServer
from tests.store import world
from tests.store.world import START, STUDY, SteppedClock


def read_csv(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def test_an_export_has_findings_feedback_and_times_in_both_formats(
    store: Store, tmp_path: Path
) -> None:
    job = world.submit(store)
    store.feedback.add(world.feedback(world.finish(store)))
    files = export(store, tmp_path / "out")
    names = ("findings", "feedback", "times")
    expected = {f"{name}.{kind}" for name in names for kind in ("csv", "parquet")}
    assert {file.name for file in files} == expected
    assert {file.name for file in (tmp_path / "out").iterdir()} == expected

    findings = read_csv(tmp_path / "out" / "findings.csv")
    assert len(findings) == 6  # three findings with two measurements
    first, missing = findings[0], findings[1]
    assert (first["finding"], first["side"], first["value"]) == ("Hippocampus", "left", "4.5")
    assert (first["unit_value"], first["superseded"]) == ("mL", "False")
    assert (missing["value"], missing["not_measured"]) == ("", "cut off")
    assert first["run_uid"] == job.run_uid

    (times,) = pq.read_table(tmp_path / "out" / "times.parquet").to_pylist()
    assert times["created_at"] == START
    assert times["created_at"].tzinfo is not None
    assert (times["state"], times["signal"], times["instance_count"]) == ("done", "quiet", 1)
    assert json.loads(times["seconds"]) == {"infer": 1.5}
    assert times["delivered_at"] is None


def test_an_answer_is_a_row_and_never_a_formula(store: Store, tmp_path: Path) -> None:
    store.feedback.add(world.feedback(world.submit(store)))
    export(store, tmp_path)
    answers = [(row["question"], row["answer"]) for row in read_csv(tmp_path / "feedback.csv")]
    assert answers == [
        ("agree", "partly"),
        ("reasons", "too large"),
        ("reasons", "'=wrong side"),
    ]
    table = pq.read_table(tmp_path / "feedback.parquet")
    assert table.column("answer").to_pylist() == ["partly", "too large", "=wrong side"]


def test_an_export_of_nothing_has_the_same_columns(store: Store, tmp_path: Path) -> None:
    export(store, tmp_path / "empty")
    world.submit(store)
    store.feedback.add(world.feedback(world.finish(store)))
    export(store, tmp_path / "full")
    for name in ("findings", "feedback", "times"):
        empty, full = (
            pq.read_schema(tmp_path / when / f"{name}.parquet") for when in ("empty", "full")
        )
        assert empty == full
        assert read_csv(tmp_path / "empty" / f"{name}.csv") == []


def test_an_export_replaces_the_one_before(store: Store, tmp_path: Path) -> None:
    for number in (1, 2):
        world.submit(store, f"1.2.{number}")
        (file, *_) = export(store, tmp_path, ("csv",))
    assert file == tmp_path / "findings.csv"
    assert len(read_csv(tmp_path / "times.csv")) == 2
    assert not list(tmp_path.glob("*.parquet"))


def test_an_export_that_cannot_be_written_says_where(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file"):
        export(store, tmp_path / "file" / "folder")


def restored(
    options: StoreOptions, copy: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> StoreOptions:
    """Put the backup in the place of a new, empty store."""
    if sqlite_file(parse_url(options.url)) is not None:
        file = tmp_path / "restored.db"
        shutil.copyfile(copy, file)
        return StoreOptions(url=f"sqlite:///{file}")
    server: PostgresServer = request.getfixturevalue("postgres")
    name = server.create()
    subprocess.run(
        ["pg_restore", "--exit-on-error", f"--dbname={server.url(name)}", str(copy)], check=True
    )
    return StoreOptions(url=server.url(name))


def test_a_backup_taken_while_writers_run_is_whole(
    options: StoreOptions, store: Store, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    world.submit(store, "1.2.0")
    world.finish(store)
    ready, stop = threading.Event(), threading.Event()

    def write() -> None:
        number = 1
        while not stop.is_set():
            world.submit(store, f"1.2.{number}")
            world.finish(store)
            number += 1
            if number == 3:
                ready.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert ready.wait(60)
        backup(options, tmp_path / "copy")
    finally:
        stop.set()
        writer.join(60)
    copy = open_store(restored(options, tmp_path / "copy", tmp_path, request), SteppedClock())
    try:
        jobs = copy.jobs.list(limit=10_000)
        assert len(jobs) >= 2
        for job in jobs:
            done = job.state.value == "done"
            assert len(copy.results.findings(job.job_id)) == (3 if done else 0)
            assert len(copy.deliveries.of_study(job.study_instance_uid)) == (2 if done else 0)
        copy.audit.record("anna", "restore", STUDY, "")
    finally:
        copy.close()
    assert (tmp_path / "copy").stat().st_mode & 0o077 == 0
    assert {file.name for file in tmp_path.glob("*copy*")} == {"copy"}


def test_a_backup_never_replaces_another(
    options: StoreOptions, store: Store, tmp_path: Path
) -> None:
    del store
    (tmp_path / "copy").write_text("the one of yesterday")
    with pytest.raises(StoreError, match="never replaces"):
        backup(options, tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "the one of yesterday"


def test_a_backup_of_nothing_leaves_nothing(kind: str, tmp_path: Path) -> None:
    urls = {
        "sqlite": f"sqlite:///{tmp_path}/none.db",
        "postgresql": "postgresql://nobody:secret@127.0.0.1:1/none",
    }
    with pytest.raises(StoreError) as caught:
        backup(StoreOptions(url=urls[kind]), tmp_path / "copy")
    assert "secret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_moments_keep_their_meaning(store: Store) -> None:
    odd = datetime(2026, 3, 29, 2, 30, 0, 123456, tzinfo=UTC)
    store.studies.index(world.received(received_at=odd), world.facts())
    (image,) = store.studies.instances(STUDY)
    assert image.received_at == odd
    with pytest.raises(StoreError, match="zone"):
        store.routes.waiting(STUDY, "brain", "", odd.replace(tzinfo=None))
