"""Feedback, accounts, audit, events; and that what was said stays as it was said."""

from datetime import timedelta

import pytest
from sqlalchemy import select, text

from appliance.core.errors import StoreError
from appliance.core.log import Event
from results_store.registry import PipelineRelease, PipelineVersion
from results_store.schema import APPEND_ONLY, metadata
from results_store.store import Store
from tests.store import world
from tests.store.world import START, STUDY, SteppedClock


def test_feedback_comes_back_as_it_was_given(store: Store) -> None:
    job = world.submit(store)
    number = store.feedback.add(world.feedback(job))
    (entry,) = store.feedback.of_study(STUDY)
    assert entry == world.feedback(job, feedback_id=number)
    assert store.feedback.of_job(job.job_id) == (entry,)
    assert store.feedback.of_job(99) == ()


def test_a_correction_names_what_it_replaces_and_both_stay(store: Store) -> None:
    job = world.submit(store)
    first = store.feedback.add(world.feedback(job))
    store.feedback.add(world.feedback(job, replaces=first, answers={"agree": "yes"}))
    assert [entry.replaces for entry in store.feedback.of_job(job.job_id)] == [None, first]


def test_a_correction_replaces_only_the_readers_own_newest_word(store: Store) -> None:
    job, other = world.submit(store), world.submit(store, "1.2.9")
    first = store.feedback.add(world.feedback(job))
    store.feedback.add(world.feedback(job, replaces=first))
    with pytest.raises(StoreError, match="replaced before"):
        store.feedback.add(world.feedback(job, replaces=first))
    with pytest.raises(StoreError, match="not ben's"):
        store.feedback.add(world.feedback(job, replaces=first, account="ben"))
    with pytest.raises(StoreError, match="not reader's"):
        store.feedback.add(world.feedback(other, replaces=first))
    with pytest.raises(StoreError, match="99 is not reader's"):
        store.feedback.add(world.feedback(job, replaces=99))


def test_feedback_belongs_to_a_job_of_its_study(store: Store) -> None:
    job = world.submit(store)
    with pytest.raises(StoreError, match="not a job of that study"):
        store.feedback.add(world.feedback(job, study_instance_uid="1.2.9"))
    with pytest.raises(StoreError, match="not a job of that study"):
        store.feedback.add(world.feedback(job, job_id=99))


def test_an_account_is_made_once(store: Store, clock: SteppedClock) -> None:
    store.accounts.create("anna", "hash", "reader")
    clock.advance(timedelta(hours=1))
    store.accounts.create("adam", "hash", "admin")
    with pytest.raises(StoreError, match="already"):
        store.accounts.create("anna", "other", "admin")
    account = store.accounts.get("anna")
    assert account is not None
    assert (account.password_hash, account.role, account.created_at) == ("hash", "reader", START)
    assert [account.name for account in store.accounts.list()] == ["adam", "anna"]
    assert store.accounts.get("ANNA") is None
    with pytest.raises(StoreError, match="no account"):
        store.accounts.disable("nobody")


def test_a_session_is_open_until_it_expires_or_is_closed(store: Store) -> None:
    soon = START + timedelta(minutes=30)
    store.accounts.open_session("t1", "link", STUDY, soon)
    session = store.accounts.session("t1", START)
    assert session is not None
    assert (session.account, session.study_scope) == ("link", STUDY)
    assert store.accounts.session("t1", soon) is None
    assert store.accounts.session("t2", START) is None
    store.accounts.close_session("t1")
    assert store.accounts.session("t1", START) is None


@pytest.mark.parametrize("change", ["set_password", "disable"])
def test_a_new_password_or_the_end_of_an_account_ends_its_sessions(
    store: Store, change: str
) -> None:
    store.accounts.create("anna", "hash", "reader")
    later = START + timedelta(days=1)
    for account in ("anna", "ben"):
        store.accounts.open_session(f"of-{account}", account, None, later)
    if change == "disable":
        store.accounts.disable("anna")
    else:
        store.accounts.set_password("anna", "new hash")
    assert store.accounts.session("of-anna", START) is None
    assert store.accounts.session("of-ben", START) is not None
    account = store.accounts.get("anna")
    assert account is not None
    assert (account.disabled_at is not None) == (change == "disable")
    assert account.password_hash == ("hash" if change == "disable" else "new hash")


def test_every_look_stays_in_the_audit(store: Store, clock: SteppedClock) -> None:
    store.audit.record("anna", "study.opened", STUDY, "by link")
    later = clock.advance(timedelta(hours=1))
    store.audit.record("ben", "login", None, "")
    assert [entry.actor for entry in store.audit.list()] == ["ben", "anna"]
    (opened,) = store.audit.list(study_instance_uid=STUDY)
    assert (opened.action, opened.detail, opened.at) == ("study.opened", "by link", START)
    assert [entry.actor for entry in store.audit.list(since=later)] == ["ben"]
    assert [entry.action for entry in store.audit.list(actor="anna")] == ["study.opened"]
    assert len(store.audit.list(limit=1)) == 1


def test_events_have_only_the_fields_of_log_lines(store: Store) -> None:
    fields = {"study_instance_uid": STUDY, "route": "brain", "count": 3}
    store.events.record(Event.ROUTE_LATE, fields)
    with pytest.raises(StoreError, match="PatientName"):
        store.events.record(Event.ROUTE_LATE, {"PatientName": "no"})
    (stored,) = store.events.of_study(STUDY)
    assert (stored.event, stored.fields, stored.at) == (Event.ROUTE_LATE, fields, START)


def fill(store: Store) -> None:
    """Give each append-only table a row."""
    store.routes.hold("1.2.9", "brain", "missing", world.decision())
    job = world.submit(store)
    world.finish(store)
    store.deliveries.claim("c1", world.LEASE, START)
    store.feedback.add(world.feedback(job))
    store.audit.record("anna", "login", None, "")
    store.events.record(Event.ROUTE_LATE, {})
    version = PipelineVersion(digest="d", name="brain-mr", version="1", manifest="", card="")
    store.registry.note(version, PipelineRelease(role="triage"), START)


def rows(store: Store, table: str) -> list[object]:
    with store.database.read() as connection:
        return list(connection.execute(select(metadata.tables[table])))


@pytest.mark.parametrize("change", ["UPDATE {} SET id = id + 1000", "DELETE FROM {}"])
def test_what_was_said_decided_and_done_cannot_be_changed(store: Store, change: str) -> None:
    fill(store)
    for table in APPEND_ONLY:
        before = rows(store, table)
        assert before, table
        with (
            pytest.raises(StoreError, match=f"{table} is append-only"),
            store.database.write() as connection,
        ):
            connection.execute(text(change.format(table)))
        assert rows(store, table) == before
