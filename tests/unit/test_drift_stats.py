"""PSI, KS and chi-square against numbers worked out by hand and against SciPy."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from feedback.drift_stats import (
    bin_counts,
    category_counts,
    compare_categories,
    compare_numbers,
    population_stability,
    quantile_edges,
)

ALPHA = 0.01
finite = st.floats(-1e6, 1e6, allow_nan=False)
numbers = st.lists(finite, min_size=2, max_size=80)


def by_name(differences: tuple) -> dict:
    return {difference.statistic: difference for difference in differences}


def test_psi_of_two_bins_worked_out_by_hand() -> None:
    value = population_stability(np.array([50.0, 50.0]), np.array([25.0, 75.0]))
    assert value == pytest.approx(-0.25 * math.log(0.5) + 0.25 * math.log(1.5))


def test_an_empty_bin_counts_as_half_a_study_and_is_not_infinitely_far() -> None:
    value = population_stability(np.array([50.0, 50.0]), np.array([0.0, 100.0]))
    assert value == pytest.approx((0.005 - 0.5) * math.log(0.01) + 0.5 * math.log(2))


def test_bins_are_the_deciles_of_the_reference() -> None:
    edges = quantile_edges(range(1, 101))
    assert edges == pytest.approx(np.arange(1, 10) * 9.9 + 1)
    assert bin_counts(range(1, 101), edges).tolist() == [10.0] * 10


def test_a_value_that_nearly_all_have_is_a_bin_of_its_own() -> None:
    edges = quantile_edges([1.0] * 50)
    assert bin_counts([0.9, 1.0, 1.0, 1.1], edges).tolist() == [1.0, 2.0, 1.0]


def test_a_spacing_that_was_constant_and_changes_is_seen() -> None:
    psi = by_name(compare_numbers([1.0] * 50, [0.9] * 50, ALPHA))["psi"]
    assert psi.value > 1
    assert psi.p_value < ALPHA


def test_ks_is_scipys() -> None:
    random = np.random.default_rng(1)
    old, new = random.normal(0, 1, 200), random.normal(0.5, 1, 90)
    expected = stats.ks_2samp(old, new, method="asymp")
    found = by_name(compare_numbers(list(old), list(new), ALPHA))["ks"]
    assert (found.value, found.p_value) == (expected.statistic, expected.pvalue)


def test_chi_square_worked_out_by_hand() -> None:
    # Each category is expected 20 times in each period, and differs by 10: 4 · 10²/20.
    old, new = ["a"] * 30 + ["b"] * 10, ["a"] * 10 + ["b"] * 30
    found = by_name(compare_categories(old, new, ALPHA))["chi2"]
    assert found.value == pytest.approx(20.0)
    assert found.p_value == pytest.approx(stats.chi2.sf(20.0, 1))


def test_rare_categories_are_one_together() -> None:
    old, new = category_counts(["a"] * 30 + ["x", "y", "z"], ["a"] * 20 + ["x", "q", "r"])
    assert (old.tolist(), new.tolist()) == ([30.0, 3.0], [20.0, 3.0])


def test_one_category_that_stays_is_no_difference() -> None:
    found = by_name(compare_categories(["a"] * 30, ["a"] * 40, ALPHA))
    assert found["chi2"].value == found["psi"].value == 0.0
    assert found["chi2"].p_value == found["psi"].p_value == 1.0


def test_a_category_never_seen_before_is_far() -> None:
    found = by_name(compare_categories(["A"] * 40, ["A"] * 10 + ["B"] * 30, ALPHA))
    assert all(difference.value > difference.critical for difference in found.values())


@given(numbers, numbers)
def test_p_below_the_limit_and_value_above_the_critical_one_are_the_same(
    old: list[float], new: list[float]
) -> None:
    for difference in compare_numbers(old, new, ALPHA):
        if not math.isclose(difference.p_value, ALPHA, rel_tol=1e-6):
            assert (difference.value > difference.critical) == (difference.p_value < ALPHA)


@given(numbers)
def test_a_sample_does_not_differ_from_itself(values: list[float]) -> None:
    for difference in compare_numbers(values, values, ALPHA):
        assert difference.value == pytest.approx(0, abs=1e-12)
        assert difference.p_value == pytest.approx(1)


@given(numbers, numbers)
def test_every_value_is_in_one_bin(old: list[float], new: list[float]) -> None:
    counts = bin_counts(new, quantile_edges(old))
    assert counts.sum() == len(new)
    assert (counts >= 0).all()


@given(st.lists(st.integers(0, 40), min_size=2, max_size=12), st.data())
def test_psi_is_never_negative_and_the_same_in_both_directions(
    old: list[int], data: st.DataObject
) -> None:
    new = data.draw(st.lists(st.integers(0, 40), min_size=len(old), max_size=len(old)))
    # Empty bins are filled after the shares are taken, which only a full histogram escapes.
    first, second = np.array(old) + 1.0, np.array(new) + 1.0
    value = population_stability(first, second)
    assert value >= 0
    assert value == pytest.approx(population_stability(second, first))


def test_without_change_alerts_are_as_rare_as_the_limit_says() -> None:
    random = np.random.default_rng(7)
    beyond = {"psi": 0, "ks": 0}
    for _ in range(400):
        old, new = random.normal(size=120).tolist(), random.normal(size=60).tolist()
        for difference in compare_numbers(old, new, 0.05):
            beyond[difference.statistic] += difference.value > difference.critical
    # 20 of 400 are expected; PSI's distribution is an approximation and a little wide.
    assert beyond["ks"] <= 30
    assert beyond["psi"] <= 40
