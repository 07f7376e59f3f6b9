"""The plan of a hospital group: the document shows what the simulation gives."""

from pathlib import Path

import pytest

from benchmarks.scale import Row, rows, table

DOCUMENT = Path(__file__).parents[2] / "docs" / "SCALE.md"


@pytest.fixture(scope="module")
def played() -> list[Row]:
    return rows()


def test_the_document_shows_what_the_simulation_gives(played: list[Row]) -> None:
    _, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(
        "<!-- python -m benchmarks.scale -->\n"
    )
    assert rest.partition("<!-- end -->")[0].strip() == table(played)


def test_nobody_waits_less_than_the_work_takes_and_a_failure_shortens_nothing(
    played: list[Row],
) -> None:
    for row in played:
        assert 0.9 <= row.median <= row.p95 <= row.p99
        assert row.p99_without_a_node >= row.p95
        assert 0 < row.used < 1


def test_another_seed_gives_other_days_and_the_same_plan(played: list[Row]) -> None:
    other = rows(days=2, seed=2)
    assert [row.name for row in other] == [row.name for row in played]
    assert [row.used for row in other] != [row.used for row in played]
    for one, two in zip(played, other, strict=True):
        assert two.used == pytest.approx(one.used, rel=0.1)
