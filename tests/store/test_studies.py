"""Studies and their instances."""

from contextlib import suppress
from datetime import datetime, timedelta

import pytest

from appliance.core.errors import StoreError
from appliance.core.model import ReceivedInstance
from appliance.core.states import DeliveryEvent, JobEvent, RouteState
from results_store.indexing import Comparison, IndexOutcome
from results_store.schema.received import study as study_table
from results_store.store import Store
from tests.store import world
from tests.store.world import LEASE, START, STUDY, facts, received

LATER = START + timedelta(days=30)


def index(
    store: Store, new: ReceivedInstance, *, against: ReceivedInstance, alike: bool
) -> IndexOutcome:
    """Index a version that was compared."""
    found = Comparison(against=against.spool_name, alike=alike, wins=alike)
    (outcome,) = store.studies.index_many([(new, facts())], {new.spool_name: found})
    return outcome


def test_indexing_the_same_file_again_changes_nothing(store: Store) -> None:
    assert store.studies.index(received(), facts()) is IndexOutcome.NEW
    before = store.studies.get(STUDY)
    assert store.studies.index(received(), facts()) is IndexOutcome.KNOWN
    assert store.studies.get(STUDY) == before
    assert store.studies.spool_names() == {received().spool_name}


def test_the_same_uid_with_another_image_is_kept_and_not_current(store: Store) -> None:
    store.studies.index(received(), facts())
    other = received(checksum="f" * 64)
    assert store.studies.index(other, facts()) is IndexOutcome.UNDECIDED
    assert index(store, other, against=received(), alike=False) is IndexOutcome.CONFLICT
    third = received(checksum="a" * 64)
    assert index(store, third, against=received(), alike=False) is IndexOutcome.CONFLICT
    assert [item.spool_name for item in store.studies.instances(STUDY)] == [received().spool_name]
    assert store.studies.spool_names() >= {other.spool_name, third.spool_name}
    study = store.studies.get(STUDY)
    assert study is not None
    assert study.instance_count == 1


def test_a_study_knows_what_its_instances_said(store: Store) -> None:
    store.studies.index(received(2), facts(accession_number=None, patient_key=None))
    store.studies.index(received(1), facts(accession_number="A7", modality="PT"))
    store.studies.index(received(3), facts(accession_number="A8", patient_key="x" * 64))
    study = store.studies.get(STUDY)
    assert study is not None
    assert (study.accession_number, study.patient_key) == ("A7", "k" * 64)
    assert study.modalities == ("MR", "PT")
    assert study.instance_count == 3
    assert study.first_received_at == START + timedelta(seconds=1)
    assert study.last_received_at == START + timedelta(seconds=3)
    assert study.first_received_at.tzinfo is not None


def test_an_object_that_says_it_is_ours_is_no_image(store: Store) -> None:
    assert store.studies.index(received(), facts(is_own=True)) is IndexOutcome.OWN
    assert store.studies.get(STUDY) is None
    assert store.studies.dirty() == ()
    assert store.studies.instances(STUDY) == ()
    assert store.studies.spool_names() == {received().spool_name}


def test_a_stored_result_that_comes_back_is_known_by_its_uid(store: Store) -> None:
    job = world.submit(store)
    world.finish(store)
    store.studies.evaluated(STUDY, 1)
    (seg, _sr) = store.results.objects(job.job_id)
    assert store.studies.is_own_object(seg.sop_instance_uid)
    assert not store.studies.is_own_object("1.2.3")
    back = received(9, sop_instance_uid=seg.sop_instance_uid)
    assert store.studies.index(back, facts(modality="SEG")) is IndexOutcome.OWN
    assert store.studies.dirty() == ()


def test_a_result_that_comes_back_changed_twice_is_ours_each_time(store: Store) -> None:
    for digest in ("a", "b", "c"):
        back = received(checksum=digest * 64)
        assert store.studies.index(back, facts(is_own=True)) is IndexOutcome.OWN
    assert len(store.studies.spool_names()) == 3
    assert store.studies.index(received(checksum="d" * 64), facts()) is IndexOutcome.NEW


def test_text_that_no_database_holds_does_not_stop_an_image(store: Store) -> None:
    odd = facts(accession_number="A\0\udcff1")
    assert store.studies.index(received(), odd) is IndexOutcome.NEW
    study = store.studies.get(STUDY)
    assert study is not None
    assert study.accession_number == "A?1"


def test_a_study_is_dirty_until_every_route_was_looked_at(store: Store) -> None:
    store.studies.index(received(1), facts())
    store.routes.close_without_jobs(STUDY, world.decision("one"), "quiet")
    assert store.studies.dirty() == (STUDY,)
    store.studies.evaluated(STUDY, 1)
    assert store.studies.dirty() == ()
    store.studies.index(received(2), facts())
    assert store.studies.dirty() == (STUDY,)
    store.studies.evaluated(STUDY, 1)  # it had not seen the second image
    assert store.studies.dirty() == (STUDY,)


def test_a_study_with_an_open_route_is_dirty(store: Store) -> None:
    store.studies.index(received(1), facts())
    store.routes.waiting(STUDY, "one", "quiet time", None)
    store.studies.evaluated(STUDY, 1)
    assert store.studies.dirty() == (STUDY,)


def test_an_image_opens_held_routes_of_its_study_again(store: Store) -> None:
    store.studies.index(received(1), facts())
    store.studies.index(received(1, study_instance_uid="1.2.9"), facts())
    for study in (STUDY, "1.2.9"):
        store.routes.hold(study, "one", "an input is missing", world.decision("one"))
    store.studies.index(received(2), facts())
    assert store.routes.of_study(STUDY)[0].state is RouteState.OPEN
    assert store.routes.of_study("1.2.9")[0].state is RouteState.HELD


def test_search_meets_every_criterion_newest_first(store: Store) -> None:
    for number in (1, 2, 3):
        name = f"A{number % 2}"
        incoming = received(number, study_instance_uid=f"1.2.{number}")
        store.studies.index(incoming, facts(accession_number=name))
    uids = [study.study_instance_uid for study in store.studies.search()]
    assert uids == ["1.2.3", "1.2.2", "1.2.1"]
    found = store.studies.search(accession_number="A1")
    assert [study.study_instance_uid for study in found] == ["1.2.3", "1.2.1"]
    assert store.studies.search(accession_number="A1", study_instance_uid="1.2.2") == ()
    assert len(store.studies.search(patient_key="k" * 64, limit=1, offset=2)) == 1


def test_an_empty_accession_number_meets_nothing(store: Store) -> None:
    store.studies.index(received(), facts(accession_number=""))
    row = store.studies.get(STUDY)
    assert row is not None
    assert row.accession_number is None
    with store.database.write() as connection:  # as a row from elsewhere might have it
        connection.execute(study_table.update().values(accession_number="", patient_key=""))
    assert store.studies.search(accession_number="") == ()
    assert store.studies.search(patient_key="") == ()
    assert len(store.studies.search()) == 1


def test_search_text_is_never_sql(store: Store) -> None:
    store.studies.index(received(), facts())
    assert store.studies.search(accession_number="' OR '1'='1") == ()
    assert store.studies.search(accession_number="%") == ()


def may_go(store: Store, before: datetime) -> list[str]:
    """Return the names of the files that may be deleted; delete none."""
    names: list[str] = []
    for uid in store.studies.deletable(before):
        with suppress(_Undone), store.studies.deleting(uid, before) as going:
            names += going
            raise _Undone
    return names


class _Undone(Exception):
    pass


def test_nothing_is_deletable_before_the_study_is_old(store: Store) -> None:
    store.studies.index(received(1), facts())
    store.studies.index(received(2, received_at=LATER), facts())
    store.studies.evaluated(STUDY, 2)
    assert store.studies.deletable(LATER) == ()
    names = may_go(store, LATER + timedelta(seconds=1))
    assert names == [received(1).spool_name, received(2).spool_name]


def test_nothing_is_deletable_before_every_route_has_looked_at_it(store: Store) -> None:
    """As after a night without an orchestrator, when the disk is full."""
    store.studies.index(received(1), facts())
    assert store.studies.deletable(LATER) == ()
    store.studies.evaluated(STUDY, 1)
    assert store.studies.deletable(LATER) == (STUDY,)
    store.studies.index(received(2), facts())
    assert store.studies.deletable(LATER) == ()


def test_what_begins_to_need_images_after_the_list_was_made_keeps_them(store: Store) -> None:
    store.studies.index(received(1), facts())
    store.studies.evaluated(STUDY, 1)
    assert store.studies.deletable(LATER) == (STUDY,)
    world.submit(store)
    with store.studies.deleting(STUDY, LATER) as names:
        assert names == ()
    assert store.studies.spool_names() == {received(1).spool_name}


def test_nothing_is_deletable_while_a_route_job_or_delivery_needs_it(store: Store) -> None:
    store.studies.index(received(), facts())
    store.studies.evaluated(STUDY, 1)
    store.routes.waiting(STUDY, "brain", "quiet time", None)
    assert store.studies.deletable(LATER) == ()
    job = world.submit(store)
    assert store.studies.deletable(LATER) == ()
    held = world.claim(store)
    assert store.studies.deletable(LATER) == ()
    store.commands.complete_run(held, world.completed("1.9"), START)
    assert store.studies.deletable(LATER) == ()
    for delivery in store.deliveries.of_study(STUDY):
        store.deliveries.claim("c1", LEASE, START)
        move = (delivery.delivery_id, "c1")
        store.deliveries.move(*move, DeliveryEvent.ACCEPTED, "", None, START)
        assert store.studies.deletable(LATER) == ()
        store.deliveries.move(*move, DeliveryEvent.PROVEN, "", None, START)
    assert len(store.studies.deletable(LATER)) == 1
    assert job.study_instance_uid == STUDY


def test_a_refused_job_keeps_no_image(store: Store) -> None:
    world.submit(store)
    store.studies.evaluated(STUDY, 1)
    store.jobs.fail(world.claim(store), JobEvent.REFUSE, "a knee", None, {}, START)
    assert len(store.studies.deletable(LATER)) == 1


def test_deleted_images_keep_their_rows_and_are_no_news_when_they_come_again(
    store: Store,
) -> None:
    delete_one(store)
    assert store.studies.spool_names() == set()
    assert store.studies.instances(STUDY) == ()
    assert store.studies.deletable(LATER) == ()
    study = store.studies.get(STUDY)
    assert study is not None
    assert study.instance_count == 1
    assert store.studies.index(received(), facts()) is IndexOutcome.KNOWN
    assert len(store.studies.instances(STUDY)) == 1
    assert store.studies.dirty() == ()


def test_a_deleted_image_that_comes_again_is_kept_as_long_as_any_other(store: Store) -> None:
    delete_one(store)
    store.studies.index(received(received_at=LATER), facts())
    assert store.studies.deletable(LATER) == ()
    assert store.studies.deletable(LATER + timedelta(seconds=1)) == (STUDY,)
    study = store.studies.get(STUDY)
    assert study is not None
    assert study.last_received_at == LATER


def delete_one(store: Store) -> None:
    store.studies.index(received(), facts())
    store.studies.evaluated(STUDY, 1)
    with store.studies.deleting(STUDY, LATER) as names:
        assert names == (received().spool_name,)


def test_many_are_indexed_at_once_each_as_if_alone(store: Store) -> None:
    store.studies.index(received(1), facts())
    other, own = received(1, checksum="f" * 64), received(3)
    elsewhere = received(4, study_instance_uid="1.2.9")
    outcomes = store.studies.index_many(
        [
            (received(1), facts()),
            (received(2), facts()),
            (received(2), facts()),
            (other, facts()),
            (own, facts(is_own=True)),
            (elsewhere, facts()),
        ]
    )
    assert [outcome.value for outcome in outcomes] == [
        "known", "new", "known", "undecided", "own", "new",
    ]  # fmt: skip
    assert store.studies.index_many([]) == ()
    counts = [study.instance_count for study in store.studies.search()]
    assert sorted(counts) == [1, 2]


def test_of_many_with_one_that_the_database_refuses_none_is_written(store: Store) -> None:
    with pytest.raises(StoreError):
        store.studies.index_many(
            [(received(1), facts()), (received(2, peer_address=None), facts())]
        )
    assert store.studies.get(STUDY) is None
    assert store.studies.spool_names() == set()
