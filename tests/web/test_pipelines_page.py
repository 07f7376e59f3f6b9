"""The pages of pipelines: every version, its card, its releases."""

from pathlib import Path

import httpx
from playwright.sync_api import Page, expect

from appliance.core.model import Job
from results_store.registry import PipelineRelease
from tests.web.versions import version
from tests.web.world import PASSWORD, World, enter

DIGEST = "d" * 64
RELEASE = PipelineRelease(
    role="second-reader",
    released_by="Dr. <Test>",
    released_on="2026-11-01",
    reference="acceptance test 17",
    ends_on="2027-11-01",
)


def test_the_list_has_every_version_with_what_becomes_of_its_results(
    reader: httpx.Client, world: World, job: Job
) -> None:
    world.clock.advance(hours=1)
    world.store.registry.note(version(digest="c" * 64, version="0.9.0"), None, world.clock.now())
    page = reader.get("/pipelines").text
    assert page.index("0.9.0") < page.index("1.0.0")  # the newest first
    assert "released as second-reader by Dr. Test on 2026-11-01" in page
    assert page.count("not installed now") == 1
    assert "lung-ct: broken: its version is missing" in page
    assert '<td class="number">1</td>' in page
    assert f'href="/pipelines/{DIGEST}"' in page


def test_a_version_shows_its_card_its_releases_and_its_runs(
    reader: httpx.Client, world: World, job: Job
) -> None:
    assert "It was never released." in reader.get(f"/pipelines/{DIGEST}").text
    world.store.registry.note(version(), RELEASE, world.clock.now())
    world.clock.advance(hours=1)
    world.store.registry.note(version(), None, world.clock.now())
    page = reader.get(f"/pipelines/{DIGEST}").text
    for words in (
        "Volume of the brightest object",
        "Research, not for diagnosis",
        "acceptance test 17",
        "Dr. &lt;Test&gt;",
        "2027-11-01",
        "Nothing: it has no weights.",
        "Splits a volume&#39;s intensities in two",
        "Tests of the Clinical Deployment Appliance",
    ):
        assert words in page
    assert page.index("taken back") < page.index("acceptance test 17")


def test_a_manifest_of_an_earlier_form_is_shown_as_it_was(
    reader: httpx.Client, world: World
) -> None:
    old = "name: old\nclinical_role: quantification\nodd: <b>1</b>\n"
    world.store.registry.note(
        version(digest="b" * 64, name="old", manifest=old), None, world.clock.now()
    )
    page = reader.get(f"/pipelines/{'b' * 64}").text
    assert "Its manifest is of a form that is read no more" in page
    assert "odd: &lt;b&gt;1&lt;/b&gt;" in page
    assert reader.get("/pipelines").status_code == 200


def test_only_accounts_see_pipelines_and_unknown_ones_are_not_there(
    client: httpx.Client, world: World
) -> None:
    assert client.get("/pipelines").status_code == 303
    assert client.get(f"/pipelines/{DIGEST}").status_code == 303
    enter(client, world)
    assert client.get(f"/pipelines/{'0' * 64}").status_code == 404


def test_a_reader_comes_from_the_worklist_to_a_card_by_keyboard(
    page: Page, job: Job, tmp_path: Path
) -> None:
    page.goto("/")
    page.get_by_label("Account").fill("reader")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Newest studies")).to_be_visible()
    page.get_by_role("link", name="Pipelines").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="bright-volume")).to_be_visible()
    page.get_by_role("link", name="1.0.0").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Model card")).to_be_visible()
    expect(page.get_by_text("The threshold is Otsu's")).to_be_visible()
    picture = page.screenshot(path=str(tmp_path / "card.png"), full_page=True)
    assert picture
    width = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert width[0] <= width[1], "nothing reaches beyond the page"
