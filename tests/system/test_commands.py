"""Commands, their exit codes, and what they say."""

import csv
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from appliance.core.clock import SystemClock
from appliance.core.states import DeliveryState, JobState
from results_store.jobs import SendTo
from results_store.options import StoreOptions
from results_store.store import open_store
from tests.appliance import PIPELINES, Appliance, command, here, settings, write
from tests.counterparts import storescu, wait_until
from tests.store import world as rows
from tests.system.phantom import study_of


def test_three_mistakes_are_three_lines_and_exit_code_78(tmp_path: Path) -> None:
    data = settings(tmp_path, 104)
    data["receiver"]["listen"] = "x"
    data["routes"][0] = {**data["routes"][0], "run": ["bright-volum"]}
    data["jobs"]["lease"] = "3 parsecs"
    path = write(tmp_path, data)
    lines = path.read_text().splitlines()
    said = command("check", "--config", str(path), code=78)
    assert "3 problems" in said
    for mistake in ("listen: x", "- bright-volum", "lease: 3 parsecs"):
        number = next(i for i, line in enumerate(lines, 1) if line.strip() == mistake)
        assert f"appliance.yaml:{number}:" in said, said
    assert "listen" in said
    assert "did you mean 'bright-volume'" in said


def test_a_role_does_not_start_on_bad_settings(tmp_path: Path) -> None:
    path = tmp_path / "appliance.yaml"
    path.write_text("appliance: {}\n")
    assert "ae_title" in command("receive", "--config", str(path), code=78)


def test_weights_with_another_hash_are_named_by_check(tmp_path: Path) -> None:
    folder = tmp_path / "pipeline"
    folder.mkdir()
    for path in (PIPELINES / "bright_volume").iterdir():
        if path.is_file():
            (folder / path.name).write_bytes(path.read_bytes())
    manifest = yaml.safe_load((folder / "pipeline.yaml").read_text())
    (folder / "weights.bin").write_bytes(b"not these")
    manifest["weights"] = [
        {"file": "weights.bin", "sha256": "0" * 64, "licence": "MIT", "source": "nowhere"}
    ]
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(manifest))
    data = settings(tmp_path, 104)
    data["pipelines"]["bright-volume"]["path"] = str(folder)
    said = here("check", "--config", str(write(tmp_path, data)), code=78)
    assert "weights.bin" in said
    assert "0" * 64 in said.replace("\n", "")


def test_an_unknown_command_is_a_usage_error() -> None:
    assert "No such command" in command("fly", code=2)


def test_an_export_has_a_row_for_each_finding(
    site: Appliance, tmp_path: Path, phantom: list[Path]
) -> None:
    storescu(site.receiver_port, phantom)
    site.wait_for_jobs(study_of(phantom), JobState.DONE)
    site.command("export", str(tmp_path / "out"))
    with (tmp_path / "out" / "findings.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows
    assert (tmp_path / "out" / "findings.parquet").stat().st_size


def test_a_backup_of_a_running_appliance_is_whole(site: Appliance, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    site.command("backup", str(target))
    with sqlite3.connect(target) as copy:
        assert copy.execute("pragma integrity_check").fetchone() == ("ok",)
    copy.close()


@pytest.mark.parametrize("arguments", [("jobs", "list"), ("deliveries", "list"), ("status",)])
def test_lists_are_for_people_and_for_programs(site: Appliance, arguments: tuple[str, ...]) -> None:
    assert site.command(*arguments)
    assert yaml.safe_load(site.command(*arguments, "--json")) is not None


JOB_KEYS = (
    "job study route pipeline version digest run run_uid supersedes state attempt progress phase "
    "priority worker device gaps seconds created_at run_after started_at finished_at reason "
    "shadow"
)
DELIVERY_KEYS = (
    "delivery job study object sop_class_uid sop_instance_uid destination state attempt not_before "
    "delivered_at reason"
)


@pytest.mark.parametrize(("what", "keys"), [("jobs", JOB_KEYS), ("deliveries", DELIVERY_KEYS)])
def test_a_list_has_fixed_keys_for_programs_and_fits_the_page_of_people(
    site: Appliance, phantom: list[Path], what: str, keys: str
) -> None:
    storescu(site.receiver_port, phantom)
    site.wait_for_deliveries(study_of(phantom), DeliveryState.DELIVERED)
    listed = json.loads(site.command(what, "list", "--json"))
    assert [" ".join(row) for row in listed] == [keys] * len(listed)
    lines = site.command(what, "list").splitlines()
    assert f"    {study_of(phantom)}" in lines
    assert max(map(len, lines)) <= 100


def test_where_a_study_is_and_that_its_files_are_whole_is_told_while_all_runs(
    site: Appliance, phantom: list[Path]
) -> None:
    study = study_of(phantom)
    storescu(site.receiver_port, phantom)
    site.wait_for_deliveries(study, DeliveryState.DELIVERED)
    (found,) = json.loads(site.command("status", study, "--json"))
    assert found["images"] == len(phantom)
    assert found["series"][0]["senders"] == ["STORESCU (127.0.0.1)"]
    assert [run["status"]["words"] for run in found["runs"]] == ["Result ready"]
    assert {one["proof"] for one in found["deliveries"]} == {"found at the destination by C-FIND"}
    assert "all as they were received" in site.command("check", "--spool", "--rate", "100 MB")

    def counted() -> bool:  # once a second
        whole = json.loads(site.command("status", "--json"))
        assert all(role["runs"] for role in whole["roles"]), whole["roles"]
        peers = {p["calling_ae_title"]: p for p in whole["peers"]}
        return "STORESCU" in peers and peers["STORESCU"]["stored"] >= len(phantom)

    wait_until(counted)


def test_what_waits_for_something_that_left_the_settings_is_told(tmp_path: Path) -> None:
    data = settings(tmp_path, 1)
    path = write(tmp_path, data)
    assert "wait for" not in here("check", "--config", str(path))
    assert not (tmp_path / "data").exists()
    here("status", "--config", str(path))  # makes the store
    url = f"sqlite:///{tmp_path}/data/store.db"
    with closing(open_store(StoreOptions(url=url), SystemClock())) as store:
        job = rows.submit(store, send=(SendTo(destination="old-pacs", objects=("sr",)),))
        rows.finish(store)
        rows.submit(store, study="1.2.9")
        (delivery,) = store.deliveries.of_study(job.study_instance_uid)
    for said in (here("check", "--config", str(path)), here("status", "--config", str(path))):
        assert "1 deliveries wait for destination 'old-pacs'" in said
        assert "1 jobs wait for pipeline 'brain-mr'" in said
    here("deliveries", "cancel", str(delivery.delivery_id), "--config", str(path))
    assert "old-pacs" not in here("check", "--config", str(path))


def test_a_second_orchestrator_on_the_same_folder_says_so_and_ends(site: Appliance) -> None:
    said = command("orchestrate", "--config", str(site.config), code=1)
    assert "another process runs `orchestrate`" in said
