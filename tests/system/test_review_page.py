"""What a radiologist sees of the brain study, in a real browser."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.appliance import command
from tests.counterparts import running


@pytest.fixture(scope="module")
def page(brain: tuple[dict[str, Any], Path], browser: Browser) -> Iterator[Page]:
    """The review page at 1280 × 900, opened by a signed link."""
    _, kept = brain
    config = kept / "appliance.yaml"
    port = int(config.read_text().rpartition("listen: 127.0.0.1:")[2].split()[0])
    link = command("link", brain[0]["study_instance_uid"], "--config", str(config)).strip()
    web = [sys.executable, "-m", "appliance", "web", "--config", str(config)]
    with running(web, port=port, log=kept / "web.log"):
        opened = browser.new_page(viewport={"width": 1280, "height": 900})
        opened.goto(link)
        opened.wait_for_load_state("networkidle")
        yield opened
        opened.close()


def test_everything_is_seen_at_1280_by_900_without_scrolling_sideways(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    seen = page.locator("body").inner_text()
    for words in (
        "d2n_Philips_3T_R571",  # the banner
        "Research, not for diagnosis",
        "Hippocampus",
        "4.59",
        "Why this ran",
        "Model card",
        "Do you agree",
    ):
        assert words in seen, words
        box = page.get_by_text(words).first.bounding_box()
        assert box is not None
        assert box["y"] < 900, f"{words} stands below the first screen"


def test_the_letters_stand_around_the_picture(page: Page) -> None:
    letters = page.locator(".letter").all_inner_texts()
    assert sorted(text.split()[-1] for text in letters) == ["A", "F", "H", "P"]


def test_the_page_is_kept_as_a_picture(page: Page, tmp_path: Path) -> None:
    """`make screenshot` says where; docs/review-page.png is made so."""
    path = Path(os.environ.get("APPLIANCE_SCREENSHOT", tmp_path / "page.png"))
    page.evaluate("window.scrollTo(0, 0)")
    page.screenshot(path=path)
    assert path.stat().st_size > 50_000
