"""A result's page says whether its pipeline was isolated."""

import httpx
import pytest

from tests.web.world import World


@pytest.mark.parametrize(
    ("gaps", "words", "times"),
    [
        ((), "Isolated: no network", 1),
        (("connect", "write"), "Not isolated: on this machine it could connect, write.", 1),
        (("connect", "write"), "Not isolated: on this machine the pipeline could connect, w", 1),
        ((), "Not isolated", 0),
        (None, "solated", 0),
    ],
)
def test_a_result_says_whether_its_pipeline_was_isolated(
    reader: httpx.Client,
    world: World,
    study: str,
    gaps: tuple[str, ...] | None,
    words: str,
    times: int,
) -> None:
    world.queue(study)
    world.finish(gaps=gaps)
    assert reader.get(f"/studies/{study}").text.count(words) == times
