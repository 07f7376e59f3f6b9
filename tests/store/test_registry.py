"""The registry: what was ever here, how often it ran, and who released it."""

from dataclasses import replace
from datetime import timedelta

from results_store.registry import TAKEN_BACK, PipelineRelease, PipelineVersion
from results_store.store import Store
from tests.store.world import START, submit

VERSION = PipelineVersion(
    digest="d" * 64, name="brain-mr", version="1.0", manifest="name: brain-mr\n", card="# Brain"
)
RELEASE = PipelineRelease(
    role="triage",
    released_by="Dr. N. N.",
    released_on="2026-11-01",
    reference="test 17",
    ends_on="2027-11-01",
)
LATER = START + timedelta(days=1)


def test_a_version_is_noted_once_with_when_it_was_seen_first(store: Store) -> None:
    store.registry.note(VERSION, None, START)
    store.registry.note(replace(VERSION, version="another"), None, LATER)
    found = store.registry.get(VERSION.digest)
    assert found is not None
    assert (found.version, found.manifest, found.card) == ("1.0", "name: brain-mr\n", "# Brain")
    assert (found.first_seen, found.runs, found.releases) == (START, 0, ())
    assert store.registry.get("e" * 64) is None


def test_a_run_beside_the_routes_takes_no_release_back(store: Store) -> None:
    store.registry.note(VERSION, RELEASE, START)
    store.registry.add(VERSION, LATER)
    found = store.registry.get(VERSION.digest)
    assert found is not None
    assert found.releases == ((START, RELEASE),)
    assert found.first_seen == START


def test_runs_are_counted_by_the_hash_of_the_folder(store: Store) -> None:
    store.registry.note(VERSION, None, START)
    store.registry.note(replace(VERSION, digest="e" * 64, version="1.1"), None, LATER)
    store.registry.note(replace(VERSION, digest="f" * 64, name="aorta-ct"), None, LATER)
    submit(store)
    submit(store, "1.2.3.2")
    assert [(one.name, one.version, one.runs) for one in store.registry.versions()] == [
        ("aorta-ct", "1.0", 0),
        ("brain-mr", "1.1", 0),
        ("brain-mr", "1.0", 2),
    ]


def test_a_release_is_noted_when_it_changes_and_when_it_is_taken_back(store: Store) -> None:
    other = replace(RELEASE, role="second-reader")
    for days, release in enumerate((None, RELEASE, RELEASE, other, None, None, RELEASE)):
        store.registry.note(VERSION, release, START + timedelta(days=days))
    found = store.registry.get(VERSION.digest)
    assert found is not None
    assert found.releases == (
        (START + timedelta(days=1), RELEASE),
        (START + timedelta(days=3), other),
        (START + timedelta(days=4), TAKEN_BACK),
        (START + timedelta(days=6), RELEASE),
    )
