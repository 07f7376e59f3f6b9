"""What readers say of a run: the form, its posting, earlier answers."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from appliance.core.errors import StoreError
from appliance.core.log import Event, log_event
from appliance.core.model import FeedbackEntry
from appliance.core.states import JobState
from feedback.auth import CSRF_FIELD, Visitor, study_path
from feedback.desk import Desk
from feedback.errors import PageError, not_found, refused_post
from feedback.forms import Refused, read_answers
from feedback.review import Answered, RunView
from feedback.site import first, is_htmx, posted, see_other
from feedback.tokens import opened_token, read_opened_token

Fields = Annotated[Mapping[str, Sequence[str]], Depends(posted)]


class AnswerPages:
    """The feedback panel of a study's page, and what it posts to."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix=study_path("{uid}"))
        router.add_api_route("/runs/{job_id}/feedback", self.answer, methods=["POST"])
        return router

    def values(
        self, request: Request, visitor: Visitor, run: RunView | None
    ) -> Mapping[str, object]:
        """Return what the panel's template needs, for a page just opened."""
        wanted = request.query_params.get("correct", "")
        given = self._answers(visitor, run)
        corrected = next((a for a in given if str(a.entry.feedback_id) == wanted), None)
        corrected = corrected if corrected and may_correct(corrected) else None
        return self._values(
            visitor,
            run,
            given,
            filled={} if corrected is None else _fields(corrected.entry),
            replaces=None if corrected is None else corrected.entry.feedback_id,
            thanks="thanks" in request.query_params,
        )

    def answer(self, request: Request, uid: str, job_id: int, fields: Fields) -> Response:
        """Record an answer, or show the form again with what is wrong with it."""
        visitor, study = self._desk.enter(request, uid)
        self._desk.site.gate.check_csrf(visitor, first(fields, CSRF_FIELD))
        run = self._desk.review(study, job_id).run
        if run is None or run.job.state is not JobState.DONE:
            raise not_found()
        opened_at = read_opened_token(visitor.key, job_id, first(fields, "opened"))
        if opened_at is None:
            raise refused_post()
        try:
            self._record(visitor, run, fields, opened_at)
        except Refused as refused:
            return self._again(request, visitor, run, fields, refused.problems)
        if is_htmx(request):
            return self._panel(request, visitor, run)
        return see_other(f"{study_path(uid)}?run={job_id}&thanks=1#feedback")

    def _record(
        self,
        visitor: Visitor,
        run: RunView,
        fields: Mapping[str, Sequence[str]],
        opened_at: datetime,
    ) -> None:
        site = self._desk.site
        answered_at = site.sources.clock.now()
        replaces = first(fields, "replaces")
        entry = FeedbackEntry(
            job_id=run.job.job_id,
            study_instance_uid=run.job.study_instance_uid,
            account=visitor.account,
            form=run.form_name,
            answers=read_answers(run.form, fields),
            opened_at=opened_at,
            answered_at=answered_at,
            seconds=_seconds(opened_at, answered_at, first(fields, "looked")),
            replaces=int(replaces) if replaces.isdecimal() and len(replaces) < 16 else None,
        )
        try:
            site.store.feedback.add(entry)
        except StoreError:
            raise _cannot_replace() from None
        action = "feedback-given" if entry.replaces is None else "feedback-corrected"
        site.saw(visitor, action, entry.study_instance_uid, f"run {run.job.run_uid}")
        log_event(
            Event.FEEDBACK_RECORDED,
            study_instance_uid=entry.study_instance_uid,
            job=entry.job_id,
            pipeline=run.job.pipeline,
            seconds=entry.seconds,
        )

    def _panel(self, request: Request, visitor: Visitor, run: RunView) -> Response:
        given = self._answers(visitor, run)
        values = self._values(visitor, run, given, filled={}, replaces=None, thanks=True)
        return self._draw(request, visitor, run, values, status=200)

    def _again(
        self,
        request: Request,
        visitor: Visitor,
        run: RunView,
        fields: Mapping[str, Sequence[str]],
        problems: Mapping[str, str],
    ) -> Response:
        values = self._values(
            visitor,
            run,
            self._answers(visitor, run),
            filled=fields,
            replaces=None,
            thanks=False,
        ) | {"problems": problems, "opened": first(fields, "opened")}
        values["replaces"] = first(fields, "replaces") or None
        return self._draw(request, visitor, run, values, status=422)

    def _draw(
        self,
        request: Request,
        visitor: Visitor,
        run: RunView,
        values: Mapping[str, object],
        *,
        status: int,
    ) -> Response:
        template = "_feedback.html" if is_htmx(request) else "feedback.html"
        base = study_path(run.job.study_instance_uid)
        return self._desk.site.pages.draw(
            request, template, visitor, {"base": base, "run": run, **values}, status=status
        )

    def _answers(self, visitor: Visitor, run: RunView | None) -> tuple[Answered, ...]:
        return () if run is None else self._desk.reviewer.answers(run, visitor.account)

    def _values(
        self,
        visitor: Visitor,
        run: RunView | None,
        given: tuple[Answered, ...],
        *,
        filled: Mapping[str, Sequence[str]],
        replaces: int | None,
        thanks: bool,
    ) -> dict[str, object]:
        now = self._desk.site.sources.clock.now()
        return {
            "given": given,
            "filled": filled,
            "replaces": replaces,
            "thanks": thanks,
            "problems": {},
            "opened": "" if run is None else opened_token(visitor.key, run.job.job_id, now),
        }


def may_correct(answered: Answered) -> bool:
    """Return whether the reader who looks may put another answer in this one's place."""
    return answered.is_own and not answered.is_replaced


def _fields(entry: FeedbackEntry) -> Mapping[str, Sequence[str]]:
    return {
        key: (answer,) if isinstance(answer, str) else answer
        for key, answer in entry.answers.items()
    }


def _seconds(opened_at: datetime, answered_at: datetime, looked: str) -> float:
    """Return how long the page was looked at.

    The page counts the seconds in which it was visible; more than passed since it was handed
    out cannot be. Without a script all of these count.
    """
    passed = max(0.0, (answered_at - opened_at).total_seconds())
    counted = looked.isascii() and looked.isdigit() and len(looked) < 8
    return min(passed, float(looked)) if counted else passed


def _cannot_replace() -> PageError:
    return PageError(
        409,
        "This was not recorded",
        "The answer that you correct was corrected meanwhile. Reload the page and look again.",
    )
