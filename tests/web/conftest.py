"""A fresh site for every test."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page

from appliance.core.model import Job
from tests.web.world import Template, World, enter, made_world, make_template, phantom, served


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return phantom(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="session")
def received(images: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Template:
    return make_template(tmp_path_factory.mktemp("received"), images, finished=False)


@pytest.fixture(scope="session")
def with_result(images: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Template:
    return make_template(tmp_path_factory.mktemp("with_result"), images, finished=True)


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """The phantom's study; with its result in tests that ask for `job`."""
    name = "with_result" if "job" in request.fixturenames else "received"
    with made_world(tmp_path, request.getfixturevalue(name)) as made:
        yield made


@pytest.fixture
def study(received: Template) -> str:
    return received.study


@pytest.fixture
def job(world: World, study: str) -> Job:
    """The run whose result is there."""
    (found,) = world.store.jobs.of_study(study)
    return found


@pytest.fixture
def base(world: World) -> Iterator[str]:
    with served(world) as address:
        yield address


@pytest.fixture
def client(base: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=base, follow_redirects=False) as made:
        yield made


@pytest.fixture
def reader(client: httpx.Client, world: World) -> httpx.Client:
    """A client with which the reader is signed in."""
    enter(client, world)
    return client


class Complaints(list[str]):
    """What the browser's console said."""


@pytest.fixture
def complaints() -> Complaints:
    return Complaints()


@pytest.fixture
def page(browser: Browser, base: str, complaints: Complaints) -> Iterator[Page]:
    """A page of 1280 by 900; whatever its console complains of is an error of the test."""
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
