"""Where is a study: on its page for everybody, on the status page for admins."""

from datetime import timedelta

import httpx
import pytest
from playwright.sync_api import Page, expect

from appliance.core.log import Event
from appliance.core.model import Job
from appliance.core.states import DeliveryEvent, JobEvent
from feedback.auth import ACCOUNT_COOKIE
from feedback.links import LinkBy, sign_link
from feedback.locate import whereabouts
from feedback.passwords import hash_password
from feedback.tokens import hash_of, new_session_token
from feedback.whereabouts import InSpool, Stray, Whereabouts
from results_store.announcements import Announced, Announcement, Kind
from results_store.fetches import FetchOutcome, Way
from tests.web.world import KEY, START, World, enter, hidden

REASON = "the data set ends inside an element"


def stray() -> Stray:
    return Stray(
        name="f" * 64,
        reason=REASON,
        sop_instance_uid="1.2.3.99",
        calling_ae_title="CT<b>",
        peer_address="10.0.0.9",
        received_at=START,
    )


def where(world: World, study: str) -> Whereabouts:
    lookout = world.sources().lookout
    found = whereabouts(world.store, study, lookout.rules, lookout.in_spool(study))
    assert found is not None
    return found


def be_admin(world: World) -> str:
    world.store.accounts.create("chief", hash_password("correct horse battery"), "admin")
    token = new_session_token()
    world.store.accounts.open_session(hash_of(token), "chief", None, START + timedelta(hours=10))
    return token


# -- the value ------------------------------------------------------------------------------


def test_received_tells_how_many_from_whom(world: World, study: str) -> None:
    found = where(world, study)
    (series,) = found.series
    assert (series.images, series.kept, series.modality) == (12, 12, "MR")
    assert series.senders == ("MR01 (127.0.0.1)",)
    assert found.status.words == "Received; not looked at yet"
    assert (found.routes, found.runs, found.deliveries) == ((), (), ())


def test_images_that_are_no_longer_kept_were_received_even_so(world: World, study: str) -> None:
    world.forget_images()
    (series,) = where(world, study).series
    assert (series.images, series.kept) == (12, 0)


def test_waiting_tells_for_what_and_how_long(world: World, study: str) -> None:
    deadline = START + timedelta(hours=2)
    world.store.routes.waiting(study, "brain volumes", "no series for T2", deadline)
    found = where(world, study)
    (route,) = found.routes
    assert (route.status.words, route.status.why) == ("Waiting for images", "no series for T2")
    assert route.deadline == deadline
    assert route.quiet_until == START + timedelta(seconds=30)
    assert found.status == route.status


def test_announced_tells_what_is_listed_and_what_of_it_is_here(
    world: World, client: httpx.Client, study: str
) -> None:
    uids = [one.sop_instance_uid for one in world.store.studies.instances(study)]
    world.store.announcements.begin_step(
        Announcement(
            kind=Kind.MPPS,
            sop_instance_uid="1.2.3.4",
            study_instance_uid=study,
            state=Announced.IN_PROGRESS,
            reason="",
            calling_ae_title="MR01",
            listed={"1.2.3": frozenset(uids), "1.2.4": frozenset({"1.2.4.1"})},
            announced_at=START,
        )
    )
    (line,) = where(world, study).announced
    assert (line.words, line.listed, line.here) == ("procedure step in progress", 13, 12)
    enter(client, world)
    assert "procedure step in progress" in client.get(f"/studies/{study}/where").text


def test_late_images_are_told(world: World, study: str) -> None:
    world.queue(study)
    fields = {
        "study_instance_uid": study, "route": "brain volumes", "count": 3, "reason": "not used"
    }  # fmt: skip
    world.store.events.record(Event.ROUTE_LATE, fields)
    (route,) = where(world, study).routes
    assert route.late == "3 of an input series not used"


def test_held_and_not_matched_tell_why(world: World, study: str) -> None:
    world.store.routes.hold(study, "one", "no series for T2", world.decide(study, route="one"))
    not_matched = world.decide(study, matched=False, route="two")
    world.store.routes.close_without_jobs(study, not_matched, "quiet")
    held, closed = where(world, study).routes
    assert (held.status.words, held.status.why, held.deadline) == ("Held", "no series for T2", None)
    assert closed.status.why == "No series is thin enough."
    assert closed.closed_by == "no further image came in the route's quiet time"


def test_running_and_retrying_tell_how_far(world: World, study: str) -> None:
    world.queue(study)
    job = world.claim()
    world.store.jobs.heartbeat(job.claim(), timedelta(minutes=1), 0.5, "infer", world.clock.now())
    (run,) = where(world, study).runs
    assert (run.status.words, run.attempt) == ("Still running: infer, 50%", 1)
    again = world.clock.now() + timedelta(minutes=5)
    world.store.jobs.fail(
        job.claim(), JobEvent.FAIL_TRANSIENT, "no memory", again, {}, world.clock.now()
    )
    (run,) = where(world, study).runs
    assert (run.status.why, run.next_attempt_at) == ("no memory", again)


def test_sent_tells_the_proof(world: World, study: str, job: Job) -> None:
    delivery = world.store.deliveries.claim("c1", timedelta(minutes=1), START)
    assert delivery is not None
    for event in (DeliveryEvent.ACCEPTED, DeliveryEvent.PROVEN):
        world.store.deliveries.move(delivery.delivery_id, "c1", event, "", None, START)
    found = where(world, study)
    (line,) = [d for d in found.deliveries if d.delivery_id == delivery.delivery_id]
    assert (line.status.words.partition(": ")[2], line.delivered_at) == ("delivered", START)
    assert line.proof == "found at the destination by C-FIND"
    assert line.job_id == job.job_id
    (route,) = found.routes
    assert route.status.words == "Run; see below"


def test_what_the_store_does_not_know_is_found_in_the_spool(world: World) -> None:
    world.in_spool["1.2.3"] = InSpool(not_yet_indexed=4)
    assert where(world, "1.2.3").status.words == "Received; not looked at yet"
    world.in_spool["1.2.3"] = InSpool(quarantined=(stray(),))
    found = where(world, "1.2.3")
    assert (found.status.words, found.status.why) == ("Nothing of it can be used", REASON)


def test_a_fetch_is_told_also_where_nothing_came_of_it(
    world: World, client: httpx.Client, study: str
) -> None:
    for uid in ("1.2.3", study):
        begin = world.store.fetches.begin
        number = begin(uid, "pacs", Way.MOVE, asked_by="rule nightly", instances=7)
        world.store.fetches.end(
            number, FetchOutcome.FAILED, completed=2, failed=5, reason="it is out of resources"
        )
    found = where(world, "1.2.3")
    assert (found.status.words, found.status.why) == ("Not fetched", "it is out of resources")
    assert (found.fetches[0].images, found.fetches[0].came) == (7, 2)
    enter(client, world)
    assert "rule nightly" in client.get(f"/studies/{study}/where").text


def test_nothing_is_nothing(world: World) -> None:
    lookout = world.sources().lookout
    assert whereabouts(world.store, "1.2.3", lookout.rules, InSpool()) is None


# -- the pages ------------------------------------------------------------------------------


def test_everybody_who_may_see_the_study_sees_its_way(
    client: httpx.Client, world: World, study: str, job: Job
) -> None:
    assert client.get(f"/studies/{study}/where").status_code == 303
    enter(client, world)
    world.in_spool[study] = InSpool(not_yet_indexed=2, quarantined=(stray(),))
    page = client.get(f"/studies/{study}/where").text
    for text in (
        *("12 images in 1 series", "MR01 (127.0.0.1)", "2 more came in", REASON),
        *("bright-volume 1.0.0", "waits to be sent", "found at the destination"),
    ):
        assert text in page, text
    assert "CT&lt;b&gt;" in page
    assert f'href="/studies/{study}/where"' in client.get(f"/studies/{study}").text
    assert client.get("/studies/1.2.3/where").status_code == 404


@pytest.mark.parametrize("path", ["/status", "/status/state"])
def test_the_status_is_for_admins(client: httpx.Client, world: World, path: str) -> None:
    assert client.get(path).status_code == 303
    enter(client, world)
    assert client.get(path).status_code == 404
    assert 'href="/status"' not in client.get("/").text
    client.cookies.set(ACCOUNT_COOKIE, be_admin(world))
    page = client.get(path).text
    for text in (
        *("deliver: does not run", "40 GB of 500 GB", "CT01", "7 associations: calling AE"),
        *("2 images: the data set ends", "job 17: the series has gaps"),
    ):
        assert text in page, text


def test_an_admin_finds_a_study_by_accession_number_or_uid(
    client: httpx.Client, world: World, study: str
) -> None:
    client.cookies.set(ACCOUNT_COOKIE, be_admin(world))
    csrf = hidden(client.get("/status").text, "csrf")
    row = world.store.studies.get(study)
    assert row is not None
    for text in (study, row.accession_number):
        page = client.post("/status", data={"csrf": csrf, "text": text}).text
        assert "12 images in 1 series" in page, text
    nothing = client.post("/status", data={"csrf": csrf, "text": "no such"}).text
    assert "Nothing of such a study was received" in nothing
    assert client.post("/status", data={"csrf": "x", "text": study}).status_code == 403
    looks = [e for e in world.store.audit.list() if e.action == "whereabouts-viewed"]
    assert [(e.actor, e.study_instance_uid) for e in looks] == [("chief", study)] * 2


def test_both_pages_fit_the_screen_and_work_by_keyboard(
    page: Page, base: str, world: World, study: str, job: Job
) -> None:
    token = be_admin(world)
    page.context.add_cookies([{"name": ACCOUNT_COOKIE, "value": token, "url": base}])
    page.goto("/status")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    page.get_by_label("Where is study").focus()
    page.keyboard.type(study)
    page.keyboard.press("Enter")
    expect(page.get_by_text("12 images in 1 series")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    page.context.clear_cookies()
    page.goto(
        sign_link(
            KEY, base_url="", by=LinkBy.STUDY, value=study, user="dr.pacs",
            expires_at=START + timedelta(hours=1),
        )
    )  # fmt: skip
    page.get_by_role("link", name="Where is this study?").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Where is this study?")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
