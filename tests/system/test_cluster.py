"""A worker on a Ray cluster: two nodes, one of which dies in the middle of a job.

What happens is in `tests.cluster_scenario`, a process of its own without any network.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import PostgresServer, postgres_server

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="module")
def happened(
    postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, object]:
    """What the scenario saw. As root, or as anybody where user namespaces are allowed."""
    unshare = ["unshare", "--net", *(() if os.geteuid() == 0 else ("--map-root-user",))]
    folder = tmp_path_factory.mktemp("cluster")
    url = postgres.socket_url(postgres.create())
    ended = subprocess.run(
        [*unshare, sys.executable, "-m", "tests.cluster_scenario", str(folder), url],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    found: dict[str, object] = json.loads(ended.stdout.splitlines()[-1])
    return found


def test_jobs_run_on_the_cluster_and_their_results_are_in_the_store(
    happened: dict[str, object],
) -> None:
    assert happened["done"] == 3
    assert happened["objects"] == [2, 2, 2]


def test_the_second_run_finds_its_model_loaded(happened: dict[str, object]) -> None:
    assert happened["cold_load_s"] > 0  # type: ignore[operator]
    assert happened["warm_load_s"] == [0.0, 0.0]


def test_a_node_that_dies_gives_its_job_to_another_one(happened: dict[str, object]) -> None:
    assert (happened["after_death"], happened["attempt"]) == ("done", 2)
    reasons = " ".join(happened["reasons"])  # type: ignore[arg-type]
    assert "the node that ran trouble is gone or lost its actor" in reasons


def test_a_cancelled_job_frees_its_node(happened: dict[str, object]) -> None:
    assert happened["after_cancel"] == "done"
