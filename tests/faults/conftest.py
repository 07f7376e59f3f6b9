"""One process for all of these tests, of which roles are forked; `long` with APPLIANCE_FAULTS."""

import os
from collections.abc import Iterator

import pytest

from tests.faults.site import Nursery


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    own = Nursery()
    yield own
    own.close()


@pytest.fixture(scope="session")
def is_long() -> bool:
    """Whether this is `make faults`, which takes its time."""
    return os.environ.get("APPLIANCE_FAULTS") == "long"
