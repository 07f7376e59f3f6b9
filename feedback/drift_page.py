"""/drift: how each feature of a pipeline moves, against a reference period that an admin names."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from appliance.core.errors import StoreError
from feedback.auth import CSRF_FIELD, AccountRole, Visitor
from feedback.drift_view import WORDS, feature_views
from feedback.errors import PageError
from feedback.site import Site, first, posted, see_other
from results_store.drift import ReferencePeriod

Fields = Annotated[Mapping[str, Sequence[str]], Depends(posted)]
LONGEST_NAME = 60
SHOWN_WITHOUT_REFERENCE = timedelta(days=90)


class DriftPages:
    """The page and its form. Accounts may look, admins may name."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._drift = site.store.drift

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter()
        router.add_api_route("/drift", self.show, methods=["GET"])
        router.add_api_route("/drift/references", self.name_reference, methods=["POST"])
        return router

    def show(self, request: Request, pipeline: str = "", reference: str = "") -> Response:
        """Show one pipeline against one reference period: the newest if none is asked for."""
        visitor = self._site.gate.require_account(request)
        pipelines = sorted(self._site.sources.pipelines)
        chosen = self._pipeline(pipeline or next(iter(pipelines), ""))
        periods = self._drift.references(chosen)
        period = next((p for p in periods if p.name == reference), periods[-1] if periods else None)
        self._site.saw(visitor, "drift-viewed", None, chosen)
        return self._site.pages.draw(
            request,
            "drift.html",
            visitor,
            {
                "pipelines": pipelines,
                "pipeline": chosen,
                "periods": periods,
                "period": period,
                "views": self._views(chosen, period),
                "words": WORDS,
                "may_name": visitor.role is AccountRole.ADMIN,
            },
        )

    def name_reference(self, request: Request, fields: Fields) -> Response:
        """Name a reference period, and show the pipeline against it."""
        visitor = self._site.gate.require_admin(request)
        self._site.gate.check_csrf(visitor, first(fields, CSRF_FIELD))
        pipeline = self._pipeline(first(fields, "pipeline"))
        name = first(fields, "name").strip()
        since, last = self._day(first(fields, "since")), self._day(first(fields, "until"))
        if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
            raise _refused(f"Write a name of 1 to {LONGEST_NAME} letters.")
        if last < since:
            raise _refused("The last day is before the first.")
        self._name(visitor, pipeline, name, since, last + timedelta(days=1))
        return see_other(f"/drift?pipeline={pipeline}")

    def _name(
        self, visitor: Visitor, pipeline: str, name: str, since: datetime, until: datetime
    ) -> None:
        try:
            self._drift.name_reference(pipeline, name, since, until)
        except StoreError as error:
            raise _refused(f"This did not work: {error}.") from None
        self._site.saw(visitor, "reference-named", None, f"{pipeline}: {name}")

    def _views(self, pipeline: str, period: ReferencePeriod | None) -> object:
        now = self._site.sources.clock.now()
        since = period.since if period else now - SHOWN_WITHOUT_REFERENCE
        rows = self._drift.feature_rows(pipeline, since, now)
        points = self._drift.points(pipeline)
        against = [point for point in points if period and point.reference == period.name]
        return feature_views(rows, against, period)

    def _pipeline(self, name: str) -> str:
        if name not in self._site.sources.pipelines:
            raise PageError(404, "There is no such pipeline", "Choose one on the drift page.")
        return name

    def _day(self, text: str) -> datetime:
        """Return the beginning of the day, where the site is."""
        try:
            day = date.fromisoformat(text)
        except ValueError:
            raise _refused("Write both days, like 2026-03-31.") from None
        return datetime.combine(day, time(), tzinfo=self._site.options.time_zone)


def _refused(message: str) -> PageError:
    return PageError(422, "The period was not named", message)
