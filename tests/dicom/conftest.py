"""What the tests of the receiver share, and those of objects that programs make."""

import logging
from collections.abc import Mapping
from typing import Any

import pytest

from appliance.core.clock import SystemClock
from appliance.core.log import Event
from appliance.jobs.local import LocalExecutor
from tests import phantoms
from tests.adoption import KINDS, Given, without_notes
from tests.commands import Commands
from tests.receiving import Events


@pytest.fixture
def events(caplog: pytest.LogCaptureFixture) -> Events:
    caplog.set_level(logging.INFO, "appliance")

    def of(event: Event) -> list[Mapping[str, Any]]:
        records = [r for r in caplog.records if r.getMessage() == event.value]
        return [record.__dict__["fields"] for record in records]

    return of


@pytest.fixture(scope="session")
def given(tmp_path_factory: pytest.TempPathFactory) -> Given:
    root = tmp_path_factory.mktemp("adopted")
    series = phantoms.stored(root / "in")
    executor = LocalExecutor(warm_children=1, clock=SystemClock())
    world = Commands(root / "pipelines", executor)
    folder = world.folder("outside", adopt=sorted(KINDS))
    try:
        once, again = (
            without_notes(world.run(folder, series, "seg+sr;sc;pdf").output) for _ in range(2)
        )
    finally:
        executor.close()
    return Given(series=series, once=once, again=again)
