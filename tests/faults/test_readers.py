"""Whatever bytes come, the readers say only what they are documented to say."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scp.session import House
from tests.faults import readers

SEEDS = list(readers.seeds())
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, of such UIDs


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with readers.house(tmp_path_factory.mktemp("house")) as lent:
        yield lent


@settings(max_examples=300, deadline=None, database=None)
@given(seed=st.sampled_from(SEEDS), chance=st.randoms(use_true_random=False))
def test_a_wounded_message_is_answered_or_ended(shared: House, seed: bytes, chance) -> None:
    readers.read(readers.wounded(chance, seed), shared)


@settings(max_examples=300, deadline=None, database=None)
@given(kind=st.integers(0, 4), data=st.binary(max_size=3000))
def test_any_bytes_are_answered_or_ended(shared: House, kind: int, data: bytes) -> None:
    readers.read(bytes([kind]) + data, shared)
