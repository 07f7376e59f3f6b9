"""How people get in, and how they do not."""

from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest

from appliance.core.errors import ConfigError
from feedback.auth import ACCOUNT_COOKIE, STUDY_COOKIE
from feedback.links import LinkBy, sign_link
from feedback.login_pages import safe_next
from feedback.options import check_options
from feedback.web import create_app
from tests.web.world import (
    KEY,
    PASSWORD,
    START,
    World,
    enter,
    hidden,
    log_in,
    phantom,
    served,
    web_options,
)

INVOKE = "/IHEInvokeImageDisplay"


def link(
    value: str,
    *,
    by: LinkBy = LinkBy.STUDY,
    user: str = "dr.pacs",
    expires_at: datetime = START + timedelta(hours=1),
    key: bytes = KEY,
) -> str:
    return sign_link(key, base_url="", by=by, value=value, user=user, expires_at=expires_at)


# -- signed links --


def test_a_signed_link_opens_its_study_and_leaves_the_address_bar_clean(
    client: httpx.Client, study: str
) -> None:
    answer = client.get(link(study))
    assert (answer.status_code, answer.headers["location"]) == (303, f"/studies/{study}")
    assert client.get(f"/studies/{study}").status_code == 200


def test_a_link_s_session_sees_no_other_study_and_no_worklist(
    client: httpx.Client, world: World, study: str, tmp_path: Path
) -> None:
    other = world.receive(phantom(tmp_path / "other", PatientID="OTHER"))
    client.get(link(study))
    token = client.cookies[STUDY_COOKIE]
    for path in (f"/studies/{other}", "/"):
        answer = httpx.get(f"{client.base_url}{path}", cookies={STUDY_COOKIE: token})
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login")


def test_two_studies_opened_by_links_stay_open_side_by_side(
    client: httpx.Client, world: World, study: str, tmp_path: Path
) -> None:
    other = world.receive(phantom(tmp_path / "other"))
    client.get(link(study))
    client.get(link(other))
    assert client.get(f"/studies/{study}").status_code == 200
    assert client.get(f"/studies/{other}").status_code == 200


def test_an_expired_link_says_what_to_do(client: httpx.Client, world: World, study: str) -> None:
    world.clock.advance(hours=2)
    answer = client.get(link(study))
    assert answer.status_code == 403
    assert "This link has expired" in answer.text
    assert "Open the study again from the PACS" in answer.text
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("dr.pacs", "dr.else"),
        ("expires=1", "expires=2"),
        ("studyUID=1", "studyUID=2"),
    ],
)
def test_a_changed_link_opens_nothing(client: httpx.Client, study: str, old: str, new: str) -> None:
    changed = link(study).replace(old, new, 1)
    assert changed != link(study)
    answer = client.get(changed)
    assert answer.status_code == 403
    assert "This link is not valid" in answer.text


def test_a_link_signed_with_another_key_opens_nothing(client: httpx.Client, study: str) -> None:
    assert client.get(link(study, key=b"x" * 32)).status_code == 403


def test_a_link_for_longer_than_the_site_allows_opens_nothing(
    client: httpx.Client, study: str
) -> None:
    answer = client.get(link(study, expires_at=START + timedelta(days=3)))
    assert answer.status_code == 403
    assert "longer than this site allows" in answer.text


def test_a_link_by_accession_number_opens_the_one_study(client: httpx.Client, study: str) -> None:
    answer = client.get(link("A0001", by=LinkBy.ACCESSION))
    assert answer.headers["location"] == f"/studies/{study}"


def test_several_studies_with_one_accession_number_are_a_choice_that_works_without_login(
    client: httpx.Client, world: World, study: str, tmp_path: Path
) -> None:
    world.receive(phantom(tmp_path / "other", PatientName="Second^Person"))
    page = client.get(link("A0001", by=LinkBy.ACCESSION))
    assert page.status_code == 200
    assert "Which one?" in page.text
    assert "Second, Person" in page.text
    target = next(part for part in page.text.split('"') if f"studyUID={study}" in part)
    answer = client.get(target.replace("&amp;", "&"))
    assert answer.headers["location"] == f"/studies/{study}"
    assert client.get(answer.headers["location"]).status_code == 200


# -- RAD-106 without a signature --


def test_an_unsigned_request_asks_for_a_login_and_then_goes_on_to_the_study(
    client: httpx.Client, study: str
) -> None:
    answer = client.get(INVOKE, params={"requestType": "STUDY", "studyUID": study})
    assert answer.status_code == 303
    page = client.get(answer.headers["location"])
    done = log_in(client, next=hidden(page.text, "next").replace("&amp;", "&"))
    assert done.status_code == 303
    answer = client.get(done.headers["location"])
    assert answer.headers["location"] == f"/studies/{study}"


@pytest.fixture
def visitor(client: httpx.Client, world: World, tmp_path: Path) -> httpx.Client:
    """Logged in, on a site that also has a study without an accession number."""
    world.receive(phantom(tmp_path / "more", AccessionNumber=""))
    enter(client, world)
    return client


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("requestType=STUDY&accessionNumber=", 400, "The accession number is empty"),
        ("requestType=STUDY&accessionNumber=%20,", 400, "The accession number is empty"),
        ("requestType=STUDY&studyUID=", 400, "The study UID is empty"),
        ("requestType=STUDY", 400, "The accession number is empty"),
        ("requestType=STUDY&studyUID=../../etc", 400, "This is not a study UID"),
        ("requestType=STUDY&studyUID=1.2.3", 404, "This study is not here"),
        ("requestType=STUDY&accessionNumber=NOPE", 404, "This study is not here"),
        ("requestType=PATIENT&patientID=1", 501, "Opening a whole patient is not supported"),
        ("studyUID=1.2.3", 400, "This request is incomplete"),
    ],
)
def test_requests_that_cannot_be_answered_say_so(
    visitor: httpx.Client, query: str, status: int, words: str
) -> None:
    client = visitor
    answer = client.get(f"{INVOKE}?{query}")
    assert answer.status_code == status
    assert words in answer.text
    assert client.get("/").status_code == 200


# -- accounts --


def test_logging_in_opens_a_session_and_logging_out_ends_it(client: httpx.Client) -> None:
    assert client.get("/").headers["location"] == "/login?next=%2F"
    assert log_in(client).status_code == 303
    token = client.cookies[ACCOUNT_COOKIE]
    page = client.get("/")
    assert page.status_code == 200
    client.post("/logout", data={"csrf": hidden(page.text, "csrf")})
    again = httpx.get(f"{client.base_url}/", cookies={ACCOUNT_COOKIE: token})
    assert again.status_code == 303


def test_the_session_cookie_is_kept_from_scripts_and_other_sites(client: httpx.Client) -> None:
    cookie = log_in(client).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie


def test_behind_tls_the_cookie_is_secure(world: World) -> None:
    with served(world, base_url="https://127.0.0.1") as base, httpx.Client(base_url=base) as client:
        cookie = client.get("/login").headers["set-cookie"]
    assert "Secure" in cookie


def test_the_store_holds_neither_token_nor_password(client: httpx.Client, world: World) -> None:
    log_in(client)
    token = client.cookies[ACCOUNT_COOKIE].encode()
    held = b"".join(path.read_bytes() for path in world.folder.glob("store.db*"))
    assert token not in held
    assert PASSWORD.encode() not in held


def test_a_session_ends_after_its_time(client: httpx.Client, world: World) -> None:
    log_in(client)
    world.clock.advance(hours=11)
    assert client.get("/").status_code == 303


def test_a_disabled_account_is_out_at_once(client: httpx.Client, world: World) -> None:
    log_in(client)
    world.store.accounts.disable("reader")
    assert client.get("/").status_code == 303
    assert log_in(client).status_code == 403


def test_wrong_passwords_close_the_door_for_a_while(client: httpx.Client, world: World) -> None:
    answers = [log_in(client, "wrong password").status_code for _ in range(6)]
    assert answers == [403] * 5 + [429]
    assert log_in(client).status_code == 429
    world.clock.advance(minutes=11)
    assert log_in(client).status_code == 303


def test_an_unknown_account_gets_the_same_answer_as_a_wrong_password(client: httpx.Client) -> None:
    unknown = log_in(client, account="nobody")
    wrong = log_in(client, "wrong password")
    words = "This account and password do not belong together."
    assert unknown.status_code == wrong.status_code == 403
    assert words in unknown.text
    assert words in wrong.text


def test_a_login_that_another_site_posts_is_refused(client: httpx.Client) -> None:
    fields = {"account": "reader", "password": PASSWORD, "csrf": "0" * 64}
    assert client.post("/login", data=fields).status_code == 403
    page = client.get("/login").text
    fields["csrf"] = hidden(page, "csrf")
    elsewhere = client.post("/login", data=fields, headers={"Origin": "https://evil.example"})
    assert elsewhere.status_code == 403


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "",
        "x",
        "/\nx",
        "/\N{EURO SIGN}",
    ],
)
def test_nothing_but_a_path_of_ours_is_gone_on_to(target: str) -> None:
    assert safe_next(target) == "/"


def test_a_path_of_ours_is_gone_on_to() -> None:
    assert safe_next("/studies/1.2?run=3") == "/studies/1.2?run=3"


# -- where it may be served --


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "::", "appliance.example"])  # noqa: S104
def test_without_tls_nothing_but_loopback_is_served(world: World, host: str) -> None:
    with pytest.raises(ConfigError, match="no TLS certificate"):
        create_app(web_options(host=host), world.sources())


def test_a_certificate_without_its_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="both a certificate and a key"):
        check_options(web_options(tls_certificate=tmp_path / "cert.pem"))


def test_a_short_link_key_is_refused() -> None:
    with pytest.raises(ConfigError, match="fewer than 32 bytes"):
        check_options(web_options(link_key=b"short"))
