"""One Orthanc and one appliance for all system tests; each test sends studies of its own."""

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.core.clock import SystemClock
from appliance.jobs.local import LocalExecutor
from tests import phantoms
from tests.appliance import Appliance, appliance, command, settings
from tests.commands import Commands
from tests.counterparts import Orthanc, free_port, orthanc
from tests.jobs_world import World
from tests.phantoms import Stored
from tests.system.phantom import phantom_series


@pytest.fixture(scope="session")
def pacs_and_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Orthanc, Appliance]]:
    folder = tmp_path_factory.mktemp("system")
    port = free_port()
    data = settings(folder, port)
    receiver = int(data["receiver"]["listen"].rpartition(":")[2])
    nodes = {"APPLIANCE": receiver, "STORESCU": free_port()}
    with orthanc(folder, modalities=nodes, port=port) as pacs, appliance(folder, data) as site:
        yield pacs, site


@pytest.fixture
def pacs(pacs_and_site: tuple[Orthanc, Appliance]) -> Orthanc:
    return pacs_and_site[0]


@pytest.fixture
def site(pacs_and_site: tuple[Orthanc, Appliance]) -> Appliance:
    return pacs_and_site[1]


@pytest.fixture
def phantom(tmp_path: Path) -> list[Path]:
    """A fresh MR study with a bright block off the centre: 3 × 4 × 5 voxels of 1 mm."""
    return phantom_series(tmp_path / "phantom")


@pytest.fixture(scope="session")
def brain(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """The demo's report on the shipped head, and the folder that it worked in.

    The model runs once, whichever of the workers that share a run of the tests asks first.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "brain-study"
    folder.mkdir(exist_ok=True)
    out = folder / "out.json"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not out.exists():
            command("demo", "--once", "--json", str(out), "--keep", str(folder / "kept"))
    return json.loads(out.read_text()), folder / "kept"


@pytest.fixture(scope="module")
def executor() -> Iterator[LocalExecutor]:
    """One for all tests of a module; its children are as another test left them."""
    executor = LocalExecutor(warm_children=2, clock=SystemClock())
    yield executor
    executor.close()


@pytest.fixture
def world(tmp_path: Path, executor: LocalExecutor) -> Iterator[World]:
    """A store and a worker's tools, with the module's executor."""
    world = World(tmp_path, executor=executor)
    yield world
    world.close()


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    """Folders of outside programs, and children that stay warm for the module."""
    executor = LocalExecutor(warm_children=3, clock=SystemClock())
    yield Commands(tmp_path_factory.mktemp("commands"), executor)
    executor.close()


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """The asymmetric phantom, as files and as a volume."""
    return phantoms.stored(tmp_path_factory.mktemp("stored"))
