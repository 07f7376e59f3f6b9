"""What drift reads and writes."""

from datetime import timedelta

import pytest

from appliance.core.errors import StoreError
from appliance.core.model import DriftPoint
from appliance.core.states import JobState
from results_store.store import Store
from tests.store import world
from tests.store.world import START, SteppedClock

DAY = timedelta(days=1)


def point(number: int = 0, feature: str = "hippocampus") -> DriftPoint:
    return DriftPoint(
        pipeline="brain-mr",
        feature=feature,
        group="output",
        reference="first month",
        window_start=START + number * DAY,
        window_end=START + (number + 1) * DAY,
        n=40,
        n_reference=200,
        statistic="psi",
        value=0.31,
        p_value=None,
        threshold=0.25,
        alert=True,
        computed_at=START,
        detail={"bins": 10.0},
    )


def test_features_are_found_by_when_their_study_arrived(store: Store) -> None:
    for number in range(3):
        study = f"1.2.{number}"
        received = world.received(study_instance_uid=study, received_at=START + number * DAY)
        store.studies.index(received, world.facts())
        store.commands.submit_runs(study, world.decision(), "quiet", (world.new_run(),), START)
        world.finish(store)
    rows = store.drift.feature_rows("brain-mr", START + DAY, START + 2 * DAY)
    assert {row.received_at for row in rows} == {START + DAY}
    assert [(row.group, row.name, row.number, row.category) for row in rows] == [
        ("metadata", "scanner", None, "MR01"),
        ("output", "hippocampus", 9.0, None),
    ]
    assert store.drift.feature_rows("other", START, START + 9 * DAY) == ()


def test_a_superseded_run_does_not_count_twice(store: Store) -> None:
    world.submit(store)
    first = world.finish(store)
    second = store.commands.resubmit(first.job_id, START)
    rows = store.drift.feature_rows("brain-mr", START, START + DAY)
    assert {row.job_id for row in rows} == {first.job_id}
    world.finish(store)
    rows = store.drift.feature_rows("brain-mr", START, START + DAY)
    assert {row.job_id for row in rows} == {second.job_id}


def test_a_cohorts_run_does_not_count(store: Store) -> None:
    world.submit(store)
    first = world.finish(store)
    done = world.completed("2.25.77")
    run = world.new_run(send=())
    of_cohort = store.commands.record_run(world.STUDY, "cohort:pilot", run, done, "me", START)
    assert (of_cohort.state, of_cohort.supersedes) == (JobState.DONE, None)
    assert store.results.features(of_cohort.job_id)
    rows = store.drift.feature_rows("brain-mr", START, START + DAY)
    assert {row.job_id for row in rows} == {first.job_id}


def test_a_reference_period_has_one_meaning(store: Store, clock: SteppedClock) -> None:
    store.drift.name_reference("brain-mr", "z first", START, START + DAY)
    clock.advance(DAY)
    store.drift.name_reference("brain-mr", "a second", START, START + 2 * DAY)
    store.drift.name_reference("other", "z first", START, START + DAY)
    with pytest.raises(StoreError, match="already"):
        store.drift.name_reference("brain-mr", "z first", START, START + 3 * DAY)
    with pytest.raises(StoreError, match="ends after"):
        store.drift.name_reference("brain-mr", "empty", START, START)
    periods = store.drift.references("brain-mr")
    assert [period.name for period in periods] == ["z first", "a second"]
    assert (periods[0].since, periods[0].until) == (START, START + DAY)


def test_points_come_back_by_feature_and_window(store: Store) -> None:
    store.drift.add_points((point(1), point(0), point(0, "scanner")))
    store.drift.add_points(())
    assert store.drift.points("brain-mr", "hippocampus") == (point(0), point(1))
    assert store.drift.points("brain-mr", since=START + DAY) == (point(1),)
    assert len(store.drift.points("brain-mr")) == 3
    assert store.drift.points("other") == ()
