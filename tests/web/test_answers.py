"""Feedback: posting it, correcting it, and what is refused."""

import re

import httpx
import pytest

from appliance.core.errors import ConfigError
from appliance.core.model import FeedbackEntry, Job
from feedback.forms import Refused, parse_form, read_answers
from tests.web.world import ROOT, World, enter, hidden

GOOD = {"agreement": "partly", "reasons": ["outline-too-large", "lesion"], "comment": "near"}


def fields(page: str) -> dict[str, str]:
    panel = page[page.index('id="feedback"') :]
    return {name: hidden(panel, name) for name in ("csrf", "opened")}


def post(client: httpx.Client, study: str, job: Job, **data: object) -> httpx.Response:
    page = client.get(f"/studies/{study}").text
    return client.post(
        f"/studies/{study}/runs/{job.job_id}/feedback", data={**fields(page), **GOOD, **data}
    )


def said(world: World, job: Job) -> tuple[FeedbackEntry, ...]:
    return world.store.feedback.of_job(job.job_id)


def test_an_answer_is_kept_and_thanked_for_without_a_script(
    reader: httpx.Client, world: World, study: str, job: Job
) -> None:
    answer = post(reader, study, job)
    assert answer.status_code == 303
    page = reader.get(answer.headers["location"]).text
    assert "Thank you" in page
    assert "Outline too large, A lesion or operation misled it" in page
    (entry,) = said(world, job)
    assert entry.account == "reader"
    assert entry.form == "brain-volumes"
    assert entry.answers == {
        "agreement": "partly",
        "reasons": ("outline-too-large", "lesion"),
        "comment": "near",
    }


def test_with_a_script_only_the_panel_comes_back(
    reader: httpx.Client, world: World, study: str, job: Job
) -> None:
    reader.headers["HX-Request"] = "true"
    answer = post(reader, study, job)
    assert answer.status_code == 200
    assert answer.text.lstrip().startswith("<section")
    assert "Thank you" in answer.text
    assert len(said(world, job)) == 1


def test_a_post_without_the_csrf_token_is_refused_and_nothing_is_kept(
    reader: httpx.Client, world: World, study: str, job: Job
) -> None:
    for csrf in ("", "0" * 64):
        answer = post(reader, study, job, csrf=csrf)
        assert answer.status_code == 403
        assert "nothing was recorded" in answer.text
    assert said(world, job) == ()
    assert post(reader, study, job).status_code == 303


def test_another_session_s_token_is_refused(
    reader: httpx.Client, world: World, study: str, job: Job, base: str
) -> None:
    page = reader.get(f"/studies/{study}").text
    with httpx.Client(base_url=base) as other:
        enter(other, world)
        where = f"/studies/{study}/runs/{job.job_id}/feedback"
        assert other.post(where, data={**fields(page), **GOOD}).status_code == 403
    assert said(world, job) == ()


def test_a_form_handed_out_for_another_run_or_at_another_time_is_refused(
    reader: httpx.Client, world: World, study: str, job: Job
) -> None:
    opened = fields(reader.get(f"/studies/{study}").text)["opened"]
    earlier = opened.replace("2026", "2025", 1)
    assert post(reader, study, job, opened=earlier).status_code == 403
    assert post(reader, study, job, opened="").status_code == 403
    assert said(world, job) == ()


@pytest.mark.parametrize(
    ("looked", "seconds"), [("", 90.0), ("37", 37.0), ("100000", 90.0), ("-5", 90.0), ("x", 90.0)]
)
def test_the_time_is_the_page_s_but_never_more_than_passed(
    reader: httpx.Client, world: World, study: str, job: Job, looked: str, *, seconds: float
) -> None:
    page = reader.get(f"/studies/{study}").text
    world.clock.advance(seconds=90)
    data = {**fields(page), **GOOD, "looked": looked}
    reader.post(f"/studies/{study}/runs/{job.job_id}/feedback", data=data)
    (entry,) = said(world, job)
    assert entry.seconds == seconds
    assert (entry.answered_at - entry.opened_at).total_seconds() == 90


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"agreement": ""}, "not one of the form"),
        ({"agreement": "maybe"}, "not one of the form"),
        ({"agreement": ["agree", "partly"]}, "Only one answer"),
        ({"reasons": ["lesion", "nonsense"]}, "not one of the form"),
        ({"comment": "x" * 2001}, "at most 2000 characters"),
    ],
)
def test_answers_that_do_not_fit_the_form_come_back_with_what_is_wrong(
    reader: httpx.Client, world: World, study: str, job: Job, data: dict[str, object], problem: str
) -> None:
    answer = post(reader, study, job, **data)
    assert answer.status_code == 422
    assert problem in answer.text
    assert "Outline too small" in answer.text
    assert said(world, job) == ()


def test_a_correction_is_a_new_entry_that_replaces_the_earlier_one(
    reader: httpx.Client, world: World, study: str, job: Job
) -> None:
    post(reader, study, job)
    (entry,) = said(world, job)
    page = reader.get(f"/studies/{study}?run={job.job_id}&correct={entry.feedback_id}").text
    assert "Correct your answer" in page
    assert re.search(r'value="lesion"\s+checked', page)
    answer = post(reader, study, job, agreement="agree", replaces=hidden(page, "replaces"))
    assert answer.status_code == 303
    old, new = said(world, job)
    assert (old.answers["agreement"], new.answers["agreement"]) == ("partly", "agree")
    assert new.replaces == old.feedback_id
    assert "replaced by a later answer" in reader.get(f"/studies/{study}").text


def test_an_answer_is_corrected_once_and_by_its_own_reader_only(
    reader: httpx.Client, world: World, study: str, job: Job
) -> None:
    post(reader, study, job)
    first = str(said(world, job)[0].feedback_id)
    assert post(reader, study, job, replaces=first).status_code == 303
    again = post(reader, study, job, replaces=first)
    assert again.status_code == 409
    assert "This was not recorded" in again.text
    assert post(reader, study, job, replaces="999").status_code == 409
    assert len(said(world, job)) == 2


def test_a_run_without_a_result_takes_no_answer(
    reader: httpx.Client, world: World, study: str, job: Job
) -> None:
    data = fields(reader.get(f"/studies/{study}").text)
    queued = world.queue(study, route="second")
    where = f"/studies/{study}/runs/{queued.job_id}/feedback"
    assert reader.post(where, data={**data, **GOOD}).status_code == 404


def test_an_answer_is_audited_without_its_words(
    reader: httpx.Client, world: World, study: str, job: Job
) -> None:
    post(reader, study, job, comment="secret words")
    entry = world.store.audit.list(study_instance_uid=study)[0]
    assert (entry.actor, entry.action) == ("reader", "feedback-given")
    assert "secret" not in entry.detail


# -- forms as people write them --


def test_the_shipped_forms_are_right() -> None:
    for path in (ROOT / "config/forms").glob("*.yaml"):
        assert parse_form(path.read_text(), path.name).questions[0].key == "agreement"


FIRST = """\
title: A form
questions:
  - {kind: choice, key: agreement, label: Agree, options: {agree: A, partly: P, disagree: D}}
"""


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        (FIRST + "colour: red\n", "form.yaml:4: colour", "unknown key"),
        (FIRST.replace("partly: P, ", ""), "form.yaml:1", "agree, partly, disagree"),
        (FIRST + "  - {kind: text, key: agreement, label: x}\n", "form.yaml:2", "stands twice"),
        (FIRST + "  - {kind: several, key: Bad Key, label: x, options: {a: b}}\n", ":4", "pattern"),
        ("title: A\n", "form.yaml:1: questions", "is missing"),
        ("title: [", "form.yaml", "not readable as YAML"),
    ],
)
def test_a_mistake_in_a_form_is_told_with_file_line_and_key(
    text: str, where: str, words: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_form(text, "form.yaml")
    assert where in str(raised.value)
    assert words in str(raised.value)


def test_control_characters_and_line_ends_of_browsers_are_taken_out() -> None:
    form = parse_form(FIRST + "  - {kind: text, key: note, label: Note}\n", "f")
    answers = read_answers(form, {"agreement": ["agree"], "note": ["a\r\nb\x00\x1b[31m c "]})
    assert answers == {"agreement": "agree", "note": "a\nb[31m c"}


def test_a_required_question_left_open_is_named() -> None:
    form = parse_form(FIRST, "f")
    with pytest.raises(Refused) as raised:
        read_answers(form, {})
    assert raised.value.problems == {"agreement": "Please answer this question."}
