"""A fresh site for every test, and one browser for all of them."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.web.world import World, made_world, phantom, served

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with made_world(tmp_path) as made:
        yield made


@pytest.fixture
def study(world: World, tmp_path: Path) -> str:
    """The phantom's study, received."""
    return world.receive(phantom(tmp_path / "images"))


@pytest.fixture
def base(world: World) -> Iterator[str]:
    with served(world) as address:
        yield address


@pytest.fixture
def client(base: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=base, follow_redirects=False) as made:
        yield made


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


class Complaints(list[str]):
    """What the browser's console said."""


@pytest.fixture
def complaints() -> Complaints:
    return Complaints()


@pytest.fixture
def page(browser: Browser, base: str, complaints: Complaints) -> Iterator[Page]:
    """A page of 1280 × 900; whatever its console complains of is an error of the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, base_url=base)
    opened = context.new_page()
    opened.on("console", lambda message: _note(complaints, message.type, message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda asked: _outside(complaints, base, asked.url))
    yield opened
    context.close()
    assert not complaints


def _note(complaints: Complaints, kind: str, text: str) -> None:
    if kind in ("error", "warning"):
        complaints.append(text)


def _outside(complaints: Complaints, base: str, url: str) -> None:
    if not url.startswith((base, "blob:", "data:")):
        complaints.append(f"asked outside: {url}")
