"""`appliance pipeline list`, and what `status` says of pipelines."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from appliance.cli.main import run
from appliance.wiring.catalogue import installed
from appliance.wiring.registry import register
from appliance.wiring.site import open_site
from tests.appliance import settings, write

WORDS = "released as second-reader by Dr. Test on 2026-01-02"


def listed(config: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    assert run(["pipeline", "list", "--json", "-c", str(config)]) == 0
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return rows


def test_a_version_is_listed_before_it_was_ever_registered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write(tmp_path, settings(tmp_path, 104))
    (row,) = listed(config, capsys)
    assert (row["pipeline"], row["version"], row["status"]) == ("bright-volume", "1.0.0", WORDS)
    assert (row["since"], row["runs"], len(row["digest"])) == (None, 0, 64)


def test_versions_are_listed_with_role_status_and_since_when(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write(tmp_path, settings(tmp_path, 104))
    with open_site(config) as site:
        register(site, installed(site.settings))
    (row,) = listed(config, capsys)
    assert (row["role"], row["runs"], row["status"]) == ("second-reader", 0, WORDS)
    assert row["since"][10] == "T"
    assert run(["pipeline", "list", "-c", str(config)]) == 0
    text = capsys.readouterr().out
    assert row["digest"][:12] in text
    assert row["digest"] not in text
    assert WORDS in text
    with open_site(config) as site:
        (version,) = site.store.registry.versions()
    ((_, release),) = version.releases
    assert (release.role, release.released_on) == ("second-reader", "2026-01-02")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": "0.9.0"}, "shadow: 1.0.0 is not released"),
        ({"until": "2026-02-01"}, "shadow: the release ended on 2026-02-01"),
    ],
)
def test_status_says_what_runs_in_shadow_and_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, str], words: str
) -> None:
    data = settings(tmp_path, 104)
    data["pipelines"]["bright-volume"]["release"] |= changes
    config = write(tmp_path, data)
    assert run(["status", "-c", str(config)]) == 0
    assert f"bright-volume 1.0.0: {words}" in capsys.readouterr().out
    assert listed(config, capsys)[0]["status"] == words


def test_a_route_of_several_that_may_not_send_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = settings(tmp_path, 104)
    data["pipelines"]["bright-volume"]["release"]["role"] = "triage"
    (route,) = data["routes"]
    words = deepcopy(route) | {"name": "words", "send": {"to": ["pacs"], "objects": ["sr"]}}
    data["routes"] = [route, words]
    config = write(tmp_path, data)
    assert listed(config, capsys)[0]["status"] == (
        "released as triage by Dr. Test on 2026-01-02; not by route 'bright': "
        "what is released as triage does not send seg"
    )


def test_a_pipeline_that_is_broken_or_sends_nowhere_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = settings(tmp_path, 104)
    data["routes"] = []
    assert listed(write(tmp_path, data), capsys)[0]["status"] == (
        "shadow: no route sends its results"
    )
    data["pipelines"]["bright-volume"]["path"] = str(tmp_path)
    assert listed(write(tmp_path, data), capsys)[0]["status"].startswith("broken: ")
