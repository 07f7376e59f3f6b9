"""The drift page: who sees it, who names a reference, and that its charts are really drawn."""

from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from playwright.sync_api import Page

from appliance.core.model import Feature
from feedback.drift_sweep import DriftOptions, DriftSweep
from feedback.passwords import hash_password
from tests.store import world as rows
from tests.web.world import PASSWORD, START, World, hidden, log_in

PIPELINE = "bright-volume"
DAY = timedelta(days=1)
OPTIONS = DriftOptions(every=DAY, window=30 * DAY, min_rows=10, psi=0.25, p_value=0.01)


def run_studies(world: World, first: int, count: int, volume: float, scanner: str) -> None:
    for day in range(first, first + count):
        study, now = f"1.2.3.{day}", START - (60 - day) * DAY
        store = world.store
        store.studies.index(rows.received(study_instance_uid=study, received_at=now), rows.facts())
        run = rows.new_run(pipeline=PIPELINE, send=(), run_after=now)
        store.commands.submit_runs(study, rows.decision(), "quiet", (run,), now)
        job = store.jobs.claim("w", (PIPELINE,), DAY, now)
        assert job is not None
        features = (
            Feature(group="output", name="Block", number=volume + day % 7 / 10),
            Feature(group="metadata", name="ManufacturerModelName", category=scanner),
        )
        result = replace(rows.result(), features=features)
        done = replace(rows.completed(study), result=result, objects=())
        store.commands.complete_run(job.claim(), done, now)


@pytest.fixture
def admin(world: World, client: httpx.Client) -> httpx.Client:
    world.store.accounts.create("boss", hash_password(PASSWORD), "admin")
    log_in(client, account="boss")
    return client


def fields(client: httpx.Client, **changes: str) -> dict[str, str]:
    page = client.get("/drift").text
    values = {"name": "spring", "since": "2026-09-20", "until": "2026-10-15"}
    return {"csrf": hidden(page, "csrf"), "pipeline": PIPELINE} | values | changes


def test_nobody_sees_the_page_without_an_account(client: httpx.Client) -> None:
    answer = client.get("/drift")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2Fdrift")


def test_a_reader_sees_the_page_and_cannot_name_a_period(
    client: httpx.Client, world: World
) -> None:
    log_in(client)
    page = client.get("/drift")
    assert page.status_code == 200
    assert "/drift/references" not in page.text
    answer = client.post("/drift/references", data=fields(client))
    assert answer.status_code == 404
    assert world.store.drift.references(PIPELINE) == ()


def test_an_admin_names_a_period_in_whole_days(admin: httpx.Client, world: World) -> None:
    answer = admin.post("/drift/references", data=fields(admin))
    assert (answer.status_code, answer.headers["location"]) == (
        303,
        f"/drift?pipeline={PIPELINE}",
    )
    (period,) = world.store.drift.references(PIPELINE)
    assert (period.name, f"{period.since:%m-%d %H:%M}", f"{period.until:%m-%d %H:%M}") == (
        "spring",
        "09-20 00:00",
        "10-16 00:00",
    )
    assert "reference-named" in {entry.action for entry in world.store.audit.list()}


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"csrf": "x"}, 403),
        ({"pipeline": "nonsense"}, 404),
        ({"name": ""}, 422),
        ({"name": "a" * 61}, 422),
        ({"since": "yesterday"}, 422),
        ({"until": "2026-09-19"}, 422),
    ],
)
def test_a_wrong_post_names_nothing(
    admin: httpx.Client, world: World, changes: dict[str, str], status: int
) -> None:
    answer = admin.post("/drift/references", data=fields(admin, **changes))
    assert answer.status_code == status
    assert world.store.drift.references(PIPELINE) == ()


def test_a_name_is_given_once(admin: httpx.Client) -> None:
    assert admin.post("/drift/references", data=fields(admin)).status_code == 303
    again = admin.post("/drift/references", data=fields(admin))
    assert again.status_code == 422
    assert "already" in again.text


def test_a_browser_draws_the_charts_and_marks_the_alerts(page: Page, world: World) -> None:
    run_studies(world, 0, 30, 8.0, "Prisma")
    run_studies(world, 30, 25, 6.0, "<b>Skyra</b>")
    since = START - 60 * DAY
    world.store.drift.name_reference(PIPELINE, "first month", since, since + 30 * DAY)
    DriftSweep(OPTIONS, world.store, (PIPELINE,), world.clock).run()
    page.goto("/login?next=%2Fdrift")
    page.fill("[name=account]", "reader")
    page.fill("[name=password]", PASSWORD)
    page.click("main button")
    page.wait_for_url("**/drift")
    block = page.locator("section.feature", has_text="Block")
    assert "alert" in (block.get_attribute("class") or "")
    assert block.locator("svg.chart").count() == 3
    assert block.locator("svg circle.dot").first.bounding_box() is not None
    assert block.locator("svg .band").count() == 1
    scanner = page.locator("section.feature", has_text="ManufacturerModelName")
    assert scanner.locator("svg .bar.window").count() == 2
    assert "<b>Skyra</b>" in (scanner.locator("svg").first.text_content() or "")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
