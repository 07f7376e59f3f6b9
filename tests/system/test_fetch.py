"""`appliance fetch`: a study of Orthanc is routed as if sent, and leaves only where it may."""

import json
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from pydicom import dcmread

from appliance.cli.main import run
from appliance.core.model import Door
from appliance.core.states import DeliveryState
from appliance.service import Stop
from appliance.wiring.doors import inward
from appliance.wiring.site import open_site
from results_store.fetches import FetchOutcome, Way
from tests.appliance import BRIGHT_ROUTE, Appliance, appliance, settings, write
from tests.counterparts import Orthanc, free_port, orthanc, wait_until
from tests.system.phantom import phantom_series

SHADOW = {**BRIGHT_ROUTE, "name": "looks back in the dark", "backfill": "shadow"}


@pytest.fixture(scope="module")
def pacs_and_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Orthanc, Appliance]]:
    folder = tmp_path_factory.mktemp("fetching")
    port = free_port()
    data = settings(folder, port)
    data["routes"] = [BRIGHT_ROUTE, SHADOW]
    data["destinations"]["by-get"] = {**data["destinations"]["pacs"], "retrieve": "get"}
    data = json.loads(json.dumps(data))  # nothing shared: the settings take no aliases
    receiver = int(data["receiver"]["listen"].rpartition(":")[2])
    with (
        orthanc(folder, modalities={"APPLIANCE": receiver}, port=port) as pacs,
        appliance(folder, data) as site,
    ):
        yield pacs, site


def data_set_of(content: bytes) -> bytes:
    (length,) = struct.unpack_from("<I", content, 140)
    return content[144 + length :]


@pytest.mark.parametrize(("node", "way"), [("pacs", Way.MOVE), ("by-get", Way.GET)])
def test_a_fetched_study_is_routed_as_if_sent_and_leaves_only_where_backfill_may(
    pacs_and_site: tuple[Orthanc, Appliance],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    node: str,
    way: Way,
) -> None:
    pacs, site = pacs_and_site
    today = f"{datetime.now(UTC):%Y%m%d}"  # new: only that it was fetched holds it back
    paths = phantom_series(tmp_path / "phantom", StudyDate=today)
    uid = str(dcmread(paths[0]).StudyInstanceUID)
    for path in paths:
        pacs.post("/instances", path.read_bytes())

    asked = ["fetch", uid, "--from", node, "--json", "--config", str(site.config)]
    assert run(asked) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["outcome"], said["completed"], said["failed"]) == ("done", len(paths), 0)
    delivered = site.wait_for_deliveries(uid, DeliveryState.DELIVERED)
    assert len(delivered) == 2
    routes = {job.job_id: job.route for job in site.store.jobs.of_study(uid)}
    assert sorted(routes.values()) == ["bright", SHADOW["name"]]
    assert {routes[one.job_id] for one in delivered} == {"bright"}
    told = {one.decision.route: one.decision.summary for one in site.store.decisions.of_study(uid)}
    assert "nothing is sent: the study is fetched, not sent to us" in told[SHADOW["name"]]

    images = site.store.studies.instances(uid)
    spool = site.config.parent / "data" / "spool" / "images"
    kept = {
        data_set_of((spool / i.spool_name[:2] / f"{i.spool_name}.dcm").read_bytes()) for i in images
    }
    assert kept == {data_set_of(path.read_bytes()) for path in paths}
    assert run(["fetches", "--config", str(site.config)]) == 0
    (line,) = [one for one in capsys.readouterr().out.splitlines() if uid in one]
    assert line.split()[2:-1] == [node, "a", "person", "done", str(len(paths)), "0"]
    (fetched,) = site.store.fetches.of_study(uid)
    assert (fetched.node, fetched.way, fetched.outcome) == (node, way, FetchOutcome.DONE)
    assert {one.door for one in images} == {Door.FETCHED}  # also said by Orthanc's C-STORE
    assert run(asked) == 0
    assert json.loads(capsys.readouterr().out)["series"] == 0  # all is here: nothing is asked for


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["1.2.3.4", "--from", "pacs"], "pacs has no study 1.2.3.4"),
        (["1.2.3.4"], "say with --from"),
        (["1.2.3.4", "--from", "pac"], "did you mean"),
        (["mprage"], "no Study Instance UID"),
    ],
)
def test_what_cannot_be_fetched_says_why(
    pacs_and_site: tuple[Orthanc, Appliance],
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    _, site = pacs_and_site
    assert run(["fetch", *arguments, "--config", str(site.config)]) == 1
    assert said in capsys.readouterr().err


def test_a_rule_fetches_what_is_new_once_and_never_what_we_made(
    pacs_and_site: tuple[Orthanc, Appliance], tmp_path: Path
) -> None:
    pacs, site = pacs_and_site
    today = f"{datetime.now(UTC):%Y%m%d}"
    paths = phantom_series(tmp_path / "phantom", StudyDate=today, StudyTime="0001")
    uid = str(dcmread(paths[0]).StudyInstanceUID)
    for path in paths:
        pacs.post("/instances", path.read_bytes())
    data = yaml.safe_load(site.config.read_text())
    (tmp_path / "files").mkdir()
    data["import"] = {"folder": str(tmp_path / "files"), "settle": "1 s"}
    data["fetch"] = [{"from": "by-get", "match": {"Modality": "MR"}, "at_most": 50, "pause": "0 s"}]

    with open_site(write(tmp_path, data)) as opened:
        ((step, every), _) = inward(opened, Stop())
        assert every == timedelta(minutes=5)
        assert step() == 0  # nobody knows yet whether it still grows
        assert step()
        site.wait_for_deliveries(uid, DeliveryState.DELIVERED)
        step()  # our results made it grow
        step()
        assert step() == 0
    fetched = site.store.fetches.of_study(uid)
    assert [one.completed for one in fetched] == [len(paths), 0]
    assert {one.asked_by for one in fetched} == {"rule 1"}
    assert len(site.store.studies.instances(uid)) == len(paths)


def test_an_imported_study_is_routed_and_leaves_only_where_backfill_may(
    pacs_and_site: tuple[Orthanc, Appliance], tmp_path: Path
) -> None:
    _, site = pacs_and_site
    today = f"{datetime.now(UTC):%Y%m%d}"
    paths = phantom_series(tmp_path / "files" / "deep", StudyDate=today)
    uid = str(dcmread(paths[0]).StudyInstanceUID)
    data = yaml.safe_load(site.config.read_text())
    data["import"] = {"folder": str(tmp_path / "files"), "settle": "1 s", "after": "delete"}
    with open_site(write(tmp_path, data)) as opened:
        ((step, _),) = inward(opened, Stop())
        wait_until(step)
    delivered = site.wait_for_deliveries(uid, DeliveryState.DELIVERED)
    routes = {job.job_id: job.route for job in site.store.jobs.of_study(uid)}
    assert {routes[one.job_id] for one in delivered} == {"bright"}
    told = {one.decision.route: one.decision.summary for one in site.store.decisions.of_study(uid)}
    assert "nothing is sent: the study is imported, not sent to us" in told[SHADOW["name"]]
    assert not any(path.exists() for path in paths)
