"""What the tests of the receiver share."""

import logging
from collections.abc import Mapping
from typing import Any

import pytest

from appliance.core.log import Event
from tests.receiving import Events


@pytest.fixture
def events(caplog: pytest.LogCaptureFixture) -> Events:
    caplog.set_level(logging.INFO, "appliance")

    def of(event: Event) -> list[Mapping[str, Any]]:
        records = [r for r in caplog.records if r.getMessage() == event.value]
        return [record.__dict__["fields"] for record in records]

    return of
