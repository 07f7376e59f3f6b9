"""Who makes room for whom, and what is tried where a GPU is full."""

import pytest

from appliance.jobs.memory import (
    Estimates,
    Held,
    Stage,
    machine_memory,
    next_stage,
    to_end,
    to_end_on_gpu,
)

GB = 10**9


def warm(*sizes: tuple[int, int]) -> tuple[Held, ...]:
    """Return children a, b, … with so much main memory and so much of a GPU, in gigabytes."""
    return tuple(
        Held(name=name, memory=memory * GB, gpu_memory=gpu * GB)
        for name, (memory, gpu) in zip("abcdefg", sizes, strict=False)
    )


@pytest.mark.parametrize(
    ("sizes", "needed", "most", "ended"),
    [
        ((), 99, 2, ""),
        (((2, 0), (3, 0)), 5, 9, ""),
        (((2, 0), (3, 0)), 6, 9, "a"),
        (((2, 0), (3, 0)), 8, 9, "ab"),
        (((9, 0), (1, 0), (1, 0)), 2, 9, "a"),
        (((1, 0), (9, 0)), 1, 9, "a"),
        (((1, 0), (9, 0)), 2, 9, "ab"),  # the one that was used last goes last
        (((2, 0), (3, 0)), 11, 9, "ab"),  # more than there is: it may try
        (((1, 0), (1, 0), (1, 0)), 1, 2, "ab"),
        (((1, 0),), 1, 1, "a"),
    ],
)
def test_the_least_recently_used_end_until_the_run_fits(
    sizes: tuple[tuple[int, int], ...], needed: int, most: int, ended: str
) -> None:
    assert "".join(to_end(warm(*sizes), needed * GB, 10 * GB, most)) == ended


@pytest.mark.parametrize(
    ("sizes", "lacking", "ended"),
    [
        (((1, 4), (1, 4)), 3, "a"),
        (((1, 4), (1, 4)), 5, "ab"),
        (((1, 0), (1, 4)), 1, "b"),  # what is on the CPU alone would free nothing
        (((1, 4), (1, 0), (1, 4)), 0, "ac"),  # nobody knows how much is lacking
        (((1, 0),), 3, ""),
    ],
)
def test_on_a_gpu_as_many_end_as_free_what_is_lacking(
    sizes: tuple[tuple[int, int], ...], lacking: int, ended: str
) -> None:
    assert "".join(to_end_on_gpu(warm(*sizes), lacking * GB)) == ended


@pytest.mark.parametrize(
    ("known", "fallback", "stages"),
    [
        (True, True, [Stage.WITH_ROOM, Stage.ALONE, Stage.ON_CPU]),
        (True, False, [Stage.WITH_ROOM, Stage.ALONE]),
        (False, True, [Stage.ALONE, Stage.ON_CPU]),
        (False, False, [Stage.ALONE]),
    ],
)
def test_a_full_gpu_is_tried_once_alone_and_the_cpu_only_where_that_is_allowed(
    *, known: bool, fallback: bool, stages: list[Stage]
) -> None:
    stage, went = Stage.AS_ASKED, []
    while following := next_stage(stage, is_lacking_known=known, cpu_fallback=fallback):
        went.append(following)
        stage = following
    assert went == stages


def test_what_runs_took_is_what_the_next_will_take() -> None:
    estimates = Estimates()
    assert (estimates.of("a", 7), estimates.on_gpu("a")) == (7, 0)
    estimates.learn("a", 3, 2)
    estimates.learn("a", 2, 4)
    assert (estimates.of("a", 7), estimates.on_gpu("a")) == (3, 4)
    assert estimates.of("b", 7) == 7, "another version may take another amount"


def test_the_machine_has_memory() -> None:
    assert 2**28 < machine_memory() < 2**46
