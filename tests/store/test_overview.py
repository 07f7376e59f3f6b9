"""Sums for people who look, and checksums for who compares the files."""

from datetime import timedelta

from appliance.core.model import Door
from appliance.core.states import JobState
from results_store.store import Store
from tests.store.world import STUDY, decision, facts, finish, received, submit


def test_what_came_of_a_study_is_summed_by_series_and_by_who_sent_it(store: Store) -> None:
    entries = [
        received(1),
        received(2),
        received(3, calling_ae_title="PACS", peer_address="10.0.0.2", door=Door.FETCHED),
        received(4, series_instance_uid=f"{STUDY}.8", size=500),
        received(9, study_instance_uid="1.2.3.99"),
    ]
    store.studies.index_many([(one, facts(number_of_frames=2)) for one in entries])
    store.studies.note_cut_off(received(5))
    arrivals = store.overview.arrivals(STUDY)
    assert [(a.calling_ae_title, a.door, a.instances, a.frames, a.size) for a in arrivals] == [
        ("MR01", Door.PUSHED, 2, 4, 2000),
        ("PACS", Door.FETCHED, 1, 2, 1000),
        ("MR01", Door.PUSHED, 1, 2, 500),
        ("MR01", Door.PUSHED, 1, 0, 1000),
    ]
    first = arrivals[0]
    assert first.last_received_at - first.first_received_at == timedelta(seconds=1)
    assert (first.current, first.own, first.is_here, first.cut_off) == (True, False, True, False)
    assert (arrivals[3].cut_off, arrivals[3].is_here, arrivals[3].current) == (True, False, False)


def test_states_are_counted(store: Store) -> None:
    submit(store)
    finish(store)
    submit(store, study="1.2.9")
    store.routes.hold("1.2.10", "brain", "no series for t1", decision(matched=False))
    assert store.overview.jobs() == {JobState.DONE: 1, JobState.QUEUED: 1}
    assert store.overview.routes() == {"closed": 2, "held": 1}
    assert store.overview.deliveries() == {"pending": 2}


def test_checksums_are_of_files_that_are_kept_and_begin_so(store: Store) -> None:
    names = {"ab" + "0" * 62: "1" * 64, "ab" + "f" * 62: "2" * 64, "ac" + "0" * 62: "3" * 64}
    for number, (name, checksum) in enumerate(names.items()):
        one = received(number, spool_name=name, checksum=checksum)
        store.studies.index(one, facts())
    store.studies.note_cut_off(received(8, spool_name="ab" + "1" * 62))
    assert dict(store.overview.checksums("ab")) == {
        name: checksum for name, checksum in names.items() if name.startswith("ab")
    }
