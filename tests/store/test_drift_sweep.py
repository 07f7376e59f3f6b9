"""Drift from end to end of the store: runs' features in, points and alerts out."""

import logging
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from appliance.core.model import Feature
from feedback.drift_sweep import DriftOptions, DriftSweep
from results_store.store import Store
from tests.store import world
from tests.store.world import START, SteppedClock

OPTIONS = DriftOptions(
    every=timedelta(hours=1), window=timedelta(days=30), min_rows=20, psi=0.25, p_value=0.01
)
DAY = timedelta(days=1)
# What the databases do differently is the store's own tests' business.
pytestmark = pytest.mark.parametrize("kind", ["sqlite"])


def run_studies(store: Store, first: int, volumes: list[float], scanner: str) -> None:
    """Let one study a day, from day `first` on, have a result with these features."""
    for day, volume in enumerate(volumes, first):
        study = f"1.2.3.{day}"
        received = world.received(study_instance_uid=study, received_at=START + day * DAY)
        store.studies.index(received, world.facts())
        store.commands.submit_runs(
            study, world.decision(), "quiet", (world.new_run(),), START + day * DAY
        )
        features = (
            Feature(group="output", name="Hippocampus", number=volume),
            Feature(group="metadata", name="Manufacturer", category=scanner),
            Feature(group="metadata", name="Contrast"),
        )
        result = replace(world.result(), features=features)
        done = replace(world.completed(study), result=result, objects=())
        held = world.claim(store, now=START + day * DAY)
        store.commands.complete_run(held, done, START + day * DAY)


def volumes(mean: float, count: int) -> list[float]:
    return [float(value) for value in np.random.default_rng(3).normal(mean, 0.5, count)]


def sweep_at(store: Store, clock: SteppedClock, day: int) -> None:
    clock.advance(START + day * DAY - clock.now())
    DriftSweep(OPTIONS, store, ("brain-mr",), clock).run()


@pytest.fixture
def reference(store: Store) -> Store:
    """Thirty days of one scanner, named as the reference."""
    run_studies(store, 0, volumes(8.0, 30), "Siemens")
    store.drift.name_reference("brain-mr", "first month", START, START + 30 * DAY)
    return store


def test_a_window_like_its_reference_gives_points_without_alert(
    reference: Store, clock: SteppedClock
) -> None:
    run_studies(reference, 30, volumes(8.0, 25), "Siemens")
    sweep_at(reference, clock, 55)
    points = reference.drift.points("brain-mr")
    assert {(point.feature, point.statistic) for point in points} == {
        ("Hippocampus", "psi"), ("Hippocampus", "ks"),
        ("Manufacturer", "psi"), ("Manufacturer", "chi2"),
    }  # fmt: skip
    assert not any(point.alert for point in points)
    assert {(point.n, point.n_reference) for point in points} == {(25, 30)}


def test_smaller_volumes_and_another_scanner_raise_alerts_once(
    reference: Store, clock: SteppedClock, caplog: pytest.LogCaptureFixture
) -> None:
    run_studies(reference, 30, volumes(6.0, 25), "Philips")
    with caplog.at_level(logging.INFO, "appliance"):
        sweep_at(reference, clock, 55)
        sweep_at(reference, clock, 56)
    told = [record.fields for record in caplog.records if record.message == "drift.alerted"]
    assert {(fields["feature"], fields["statistic"]) for fields in told} == {
        ("Hippocampus", "psi"), ("Hippocampus", "ks"),
        ("Manufacturer", "psi"), ("Manufacturer", "chi2"),
    }  # fmt: skip
    assert len(told) == 4
    assert [record.message for record in caplog.records].count("drift.computed") == 2


def test_a_sweep_in_which_nothing_is_new_stores_nothing(
    reference: Store, clock: SteppedClock
) -> None:
    run_studies(reference, 30, volumes(6.0, 25), "Siemens")
    sweep_at(reference, clock, 55)
    before = reference.drift.points("brain-mr")
    sweep_at(reference, clock, 56)
    assert reference.drift.points("brain-mr") == before


def test_too_few_studies_give_no_number(reference: Store, clock: SteppedClock) -> None:
    run_studies(reference, 30, volumes(6.0, 19), "Siemens")
    sweep_at(reference, clock, 49)
    assert reference.drift.points("brain-mr") == ()


def test_a_study_of_the_reference_is_never_in_the_window(
    reference: Store, clock: SteppedClock
) -> None:
    run_studies(reference, 30, volumes(8.0, 20), "Siemens")
    sweep_at(reference, clock, 50)  # the window of 30 days would begin on day 20
    points = reference.drift.points("brain-mr")
    assert {point.n for point in points} == {20}
    assert {point.window_start for point in points} == {START + 30 * DAY}
