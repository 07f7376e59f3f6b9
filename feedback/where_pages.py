"""/status: how the appliance is, for admins. /studies/UID/where: the way of one study, for all."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from feedback.auth import CSRF_FIELD, Visitor, study_path
from feedback.desk import Desk
from feedback.errors import not_found
from feedback.locate import find, whereabouts
from feedback.site import first, posted
from feedback.whereabouts import Whereabouts

Fields = Annotated[Mapping[str, Sequence[str]], Depends(posted)]
LONGEST_SEARCH = 64  # a UID; an accession number has 16


class WherePages:
    """The two pages."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._site = desk.site
        self._lookout = desk.site.sources.lookout

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter()
        router.add_api_route("/status", self.show, methods=["GET"])
        router.add_api_route("/status/state", self.state, methods=["GET"])
        router.add_api_route("/status", self.search, methods=["POST"])
        router.add_api_route(f"{study_path('{uid}')}/where", self.where, methods=["GET"])
        return router

    def show(self, request: Request) -> Response:
        """Show how everything is."""
        visitor = self._site.gate.require_admin(request)
        self._site.saw(visitor, "status-viewed", None)
        return self._draw_status(request, visitor, "", ())

    def state(self, request: Request) -> Response:
        """Return the part of the page that loads itself again."""
        visitor = self._site.gate.require_admin(request)
        values = {"system": self._lookout.system()}
        return self._site.pages.draw(request, "_system.html", visitor, values)

    def search(self, request: Request, fields: Fields) -> Response:
        """Show where the studies with exactly this accession number or UID are."""
        visitor = self._site.gate.require_admin(request)
        self._site.gate.check_csrf(visitor, first(fields, CSRF_FIELD))
        text = first(fields, "text").strip()[:LONGEST_SEARCH]
        lookout = self._lookout
        found = find(self._site.store, text, lookout.rules, lookout.in_spool)
        for one in found:
            self._site.saw(visitor, "whereabouts-viewed", one.study_instance_uid)
        return self._draw_status(request, visitor, text, found)

    def where(self, request: Request, uid: str) -> Response:
        """Show the way of one study."""
        visitor, study = self._desk.enter(request, uid)
        lookout = self._lookout
        found = whereabouts(self._site.store, uid, lookout.rules, lookout.in_spool(uid))
        if found is None:
            raise not_found()
        self._site.saw(visitor, "whereabouts-viewed", uid)
        instances = self._site.store.studies.instances(uid)
        values = {
            "base": study_path(uid),
            "study": study,
            "found": found,
            "banner": self._desk.banners.of(instances),
            "titles": self._desk.pictures.titles(instances),
        }
        return self._site.pages.draw(request, "where.html", visitor, values)

    def _draw_status(
        self, request: Request, visitor: Visitor, text: str, found: Sequence[Whereabouts]
    ) -> Response:
        values = {"system": self._lookout.system(), "text": text, "found": found, "titles": {}}
        return self._site.pages.draw(request, "status.html", visitor, values)
