"""What stands before every page."""

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from feedback.links import LinkBy, sign_link
from tests.web.world import KEY, START, World, hidden, log_in, phantom


def test_every_page_forbids_foreign_and_inline_code(client: httpx.Client, study: str) -> None:
    log_in(client)
    for path in ("/", "/login", f"/studies/{study}", "/nowhere", "/static/style.css"):
        headers = client.get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"


def test_nothing_of_a_patient_is_kept_by_browsers(client: httpx.Client, study: str) -> None:
    log_in(client)
    for path in ("/", f"/studies/{study}"):
        assert client.get(path).headers["cache-control"] == "no-store"


def test_another_host_name_is_not_answered(client: httpx.Client) -> None:
    assert client.get("/login", headers={"Host": "evil.example"}).status_code == 400


def test_a_body_larger_than_any_form_is_refused(client: httpx.Client) -> None:
    big = {"account": "x" * 100_000}
    assert client.post("/login", data=big).status_code == 413

    def chunks() -> Iterator[bytes]:
        for _ in range(20):
            yield b"x" * 10_000

    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert client.post("/login", content=chunks(), headers=headers).status_code == 413
    assert client.get("/login").status_code == 200


def test_an_origin_that_is_no_address_is_another_site(client: httpx.Client) -> None:
    answer = client.post("/login", data={}, headers={"Origin": "http://["})
    assert answer.status_code == 403


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE"])
def test_other_methods_are_refused(client: httpx.Client, method: str) -> None:
    assert client.request(method, "/").status_code == 405


def test_a_page_that_is_not_there_says_so_in_plain_words(client: httpx.Client) -> None:
    answer = client.get("/wp-admin")
    assert answer.status_code == 404
    assert "There is no such page" in answer.text


def test_neither_patients_nor_queries_are_logged(
    client: httpx.Client, study: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    log_in(client)
    page = client.get("/").text
    client.post(
        "/search", data={"csrf": hidden(page, "csrf"), "by": "patient_id", "text": "SYNTHETIC-1"}
    )
    signed = sign_link(
        KEY, base_url="", by=LinkBy.ACCESSION, value="A0001", user="pacs",
        expires_at=START + timedelta(hours=1),
    )  # fmt: skip
    client.get(signed)
    client.get(f"/studies/{study}")
    said = "\n".join(record.getMessage() for record in caplog.records if record.name != "httpx")
    said = "\n".join(line for line in said.splitlines() if "send_request" not in line)
    for secret in ("SYNTHETIC", "Synthetic", "signature", "A0001"):
        assert secret not in said


def test_what_an_image_says_is_escaped(client: httpx.Client, world: World, tmp_path: Path) -> None:
    nasty = "<script>alert(1)</script>"
    study = world.receive(phantom(tmp_path / "x", PatientName=nasty, SeriesDescription=nasty))
    log_in(client)
    for path in ("/", f"/studies/{study}"):
        page = client.get(path).text
        assert nasty not in page
        assert "&lt;script&gt;" in page
