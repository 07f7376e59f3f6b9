"""The review page in a real browser, at 1280 by 900. The `page` fixture fails a test whose
browser complains: of the content security policy, of an error in a script, of a call outside."""

import io
import re
import time
from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from appliance.core.model import Job
from feedback.links import LinkBy, sign_link
from tests.web.conftest import Complaints
from tests.web.world import KEY, MARKER, PASSWORD, SHAPE, SPACING, SPOT, START, World

SLICES = SHAPE[0]


def until(condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def open_study(page: Page, study: str) -> None:
    """Come from the PACS."""
    page.goto(
        sign_link(
            KEY, base_url="", by=LinkBy.STUDY, value=study, user="dr.pacs",
            expires_at=START + timedelta(hours=1),
        )
    )  # fmt: skip


@pytest.fixture
def review(page: Page, study: str, job: Job) -> Page:
    open_study(page, study)
    expect(page.locator("#viewer")).to_have_attribute("data-ready", "true")
    return page


def shown(page: Page) -> int:
    return int(page.locator("#viewer").get_attribute("data-shown") or 0)


def go_to(page: Page, number: int) -> None:
    """Go to a slice with the keyboard."""
    page.keyboard.press("Home")
    until(lambda: shown(page) == 1, "the first slice")
    for _ in range(number - 1):
        page.keyboard.press("ArrowRight")
    until(lambda: shown(page) == number, f"slice {number}")


def drawn(page: Page) -> np.ndarray:
    """Return the picture as it stands on the screen, without its padding, as RGB."""
    box = page.locator("#image").bounding_box()
    assert box is not None
    return np.asarray(Image.open(io.BytesIO(page.screenshot(clip=box))).convert("RGB")).astype(int)


def voxel_at(picture: np.ndarray, row: float, column: float) -> np.ndarray:
    """Return the color in the middle of a voxel."""
    height, width, _ = picture.shape
    y, x = int((row + 0.5) / SHAPE[1] * height), int((column + 0.5) / SHAPE[2] * width)
    return picture[y, x]


def middle(box: tuple[slice, slice, slice]) -> tuple[int, float, float]:
    return (box[0].start + 1, *((s.start + s.stop - 1) / 2 for s in box[1:]))


def test_everything_stands_on_the_page_without_scrolling_sideways(review: Page) -> None:
    width = review.evaluate("document.documentElement.scrollWidth")
    assert width <= 1280
    for name in ("Patient", "Images"):
        expect(review.get_by_role("region", name=name)).to_be_in_viewport()
    for heading in ("Volumes in mL", "Why this ran", "Model card", "Sent to"):
        expect(review.get_by_role("heading", name=heading)).to_be_in_viewport()
    expect(review.get_by_role("heading", name=re.compile("What do you think"))).to_be_in_viewport()
    expect(review.get_by_role("button", name="Send")).to_be_in_viewport()


def test_the_letters_stand_at_the_right_edges(review: Page) -> None:
    stage = review.locator("#stage").bounding_box()
    assert stage is not None
    for edge, letter in (("left", "R"), ("right", "L"), ("top", "A"), ("bottom", "P")):
        mark = review.locator(f".letter.{edge}")
        expect(mark).to_contain_text(letter)
        box = mark.bounding_box()
        assert box is not None
        x = (box["x"] + box["width"] / 2 - stage["x"]) / stage["width"]
        y = (box["y"] + box["height"] / 2 - stage["y"]) / stage["height"]
        assert {"left": x < 0.05, "right": x > 0.95, "top": y < 0.05, "bottom": y > 0.95}[edge]


def test_the_picture_has_the_patient_s_proportions(review: Page) -> None:
    box = review.locator("#image").bounding_box()
    assert box is not None
    wanted = SHAPE[2] * SPACING[1] / (SHAPE[1] * SPACING[0])
    assert box["width"] / box["height"] == pytest.approx(wanted, rel=0.02)


def test_the_mask_lies_on_the_marker_by_pixel(review: Page) -> None:
    """The marker is on the patient's left, in front: right of the middle and above it."""
    number, row, column = middle(MARKER)
    go_to(review, number)
    marked = drawn(review)
    color = voxel_at(marked, row, column)
    assert color[0] - color[1] > 40
    assert abs(color[1] - color[2]) < 5
    mirrored = voxel_at(marked, row, SHAPE[2] - 1 - column)
    assert np.ptp(mirrored) < 5
    review.keyboard.press("o")
    until(lambda: np.ptp(voxel_at(drawn(review), row, column)) < 5, "the overlay is off")
    plain = drawn(review)
    assert voxel_at(plain, row, column)[0] > voxel_at(plain, row, SHAPE[2] - 1 - column)[0] + 100
    changed = np.abs(marked - plain).max(-1) > 20
    rows, columns = np.nonzero(changed)
    height, width = changed.shape
    edges = (rows.min() / height, (rows.max() + 1) / height, columns.min() / width)
    wanted = (MARKER[1].start / SHAPE[1], MARKER[1].stop / SHAPE[1], MARKER[2].start / SHAPE[2])
    assert edges == pytest.approx(wanted, abs=0.01)


def test_the_keyboard_walks_through_the_slices(review: Page) -> None:
    go_to(review, 1)
    review.keyboard.press("ArrowDown")
    until(lambda: shown(review) == 2, "the next slice")
    review.keyboard.press("ArrowLeft")
    until(lambda: shown(review) == 1, "the one before")
    review.keyboard.press("ArrowLeft")
    review.keyboard.press("End")
    until(lambda: shown(review) == SLICES, "the last slice")
    review.keyboard.press("PageUp")
    until(lambda: shown(review) == SLICES - 10, "ten before")
    expect(review.locator("#slice-words")).to_have_text(f"{SLICES - 10} / {SLICES}")


def test_every_control_can_be_reached_with_the_tab_key(review: Page) -> None:
    review.keyboard.press("Tab")
    reached = set()
    for _ in range(60):
        reached.add(
            review.evaluate("(e => e.id || e.name || e.textContent.trim())(document.activeElement)")
        )
        review.keyboard.press("Tab")
    assert {"stage", "previous", "slice", "next", "opacity", "agreement", "q-comment"} <= reached
    assert {"Fill", "Outline", "Off", "Send"} <= reached


def test_typing_a_comment_does_not_move_the_slices(review: Page) -> None:
    go_to(review, 3)
    review.locator("textarea").focus()
    review.keyboard.type("o no")
    review.keyboard.press("ArrowLeft")
    assert shown(review) == 3
    expect(review.locator("[data-style=fill]")).to_have_attribute("aria-current", "true")


def test_a_volume_leads_to_its_segment_s_largest_slice(review: Page) -> None:
    go_to(review, 1)
    review.locator('a[data-segment="2"]').click()
    until(lambda: shown(review) == SPOT[0].start + 1, "the slice of the segment")
    _, row, column = middle(SPOT)
    until(lambda: np.ptp(voxel_at(drawn(review), row, column)) > 40, "its mask")
    expect(review.locator('a[data-segment="2"]')).to_have_attribute("aria-current", "true")


def test_the_opacity_changes_what_is_seen(review: Page) -> None:
    number, row, column = middle(MARKER)
    go_to(review, number)
    before = np.ptp(voxel_at(drawn(review), row, column))
    review.locator("#opacity").fill("100")
    until(lambda: np.ptp(voxel_at(drawn(review), row, column)) > before + 50, "more color")


def test_an_answer_is_thanked_for_on_the_same_page(review: Page, world: World, job: Job) -> None:
    go_to(review, 2)
    review.get_by_label("Partly").check()
    review.get_by_label("Outline too small").check()
    review.get_by_label(re.compile("Comment")).fill("a little")
    review.get_by_role("button", name="Send").click()
    expect(review.locator(".thanks")).to_contain_text("Thank you")
    assert shown(review) == 2
    (entry,) = world.store.feedback.of_job(job.job_id)
    assert entry.account == "dr.pacs"
    assert entry.answers["reasons"] == ("outline-too-small",)


def test_a_session_that_is_over_keeps_what_was_typed(
    review: Page, world: World, complaints: Complaints
) -> None:
    review.get_by_label("Agree", exact=True).check()
    review.get_by_label(re.compile("Comment")).fill("not to be lost")
    world.clock.advance(hours=20)
    review.get_by_role("button", name="Send").click()
    expect(review.get_by_role("alert").first).to_contain_text("Please log in")
    expect(review.get_by_label(re.compile("Comment"))).to_have_value("not to be lost")
    assert all("401" in complaint for complaint in complaints)
    complaints.clear()


def test_progress_comes_by_itself_and_then_the_result(page: Page, world: World, study: str) -> None:
    world.queue(study)
    job = world.claim()
    open_study(page, study)
    world.store.jobs.heartbeat(
        job.claim(), timedelta(minutes=1), 0.5, "segmenting", world.clock.now()
    )
    expect(page.get_by_text("Still running: segmenting, 50%")).to_be_visible(timeout=15_000)
    world.finish(job)
    expect(page.get_by_role("heading", name="Volumes in mL")).to_be_visible(timeout=15_000)


def test_without_a_script_the_same_controls_are_links(
    page: Page, study: str, job: Job, base: str
) -> None:
    assert page.context.browser is not None
    context = page.context.browser.new_context(java_script_enabled=False, base_url=base)
    plain = context.new_page()
    open_study(plain, study)
    expect(plain.locator("#slice-words")).to_have_text(f"{SLICES // 2 + 1} / {SLICES}")
    plain.locator("#next").click()
    expect(plain.locator("#slice-words")).to_have_text(f"{SLICES // 2 + 2} / {SLICES}")
    plain.get_by_role("link", name="Off").click()
    assert plain.locator("#mask").get_attribute("href") is None
    plain.locator('a[data-segment="1"]').click()
    expect(plain.locator("#slice-words")).to_have_text(f"{MARKER[0].start + 1} / {SLICES}")
    plain.get_by_label("Agree", exact=True).check()
    plain.get_by_role("button", name="Send").click()
    expect(plain.locator(".thanks")).to_contain_text("Thank you")
    context.close()


def test_logging_in_and_searching_by_hand(page: Page, study: str, job: Job) -> None:
    page.goto("/")
    page.get_by_label("Account").fill("reader")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Newest studies")).to_be_visible()
    page.get_by_label("Search by").select_option("patient ID")
    page.locator("#text").fill("SYNTHETIC-1^^^TEST")
    page.get_by_role("button", name="Search").click()
    assert "SYNTHETIC" not in page.url
    page.get_by_role("link", name="Synthetic, Patient").click()
    expect(page.get_by_role("heading", name="Volumes in mL")).to_be_visible()
