"""What a person may do with a route of a study: let a held one go on with what is here."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from appliance.core.errors import StoreError
from feedback.auth import CSRF_FIELD, study_path
from feedback.desk import Desk
from feedback.errors import PageError
from feedback.site import first, posted, see_other

Fields = Annotated[Mapping[str, Sequence[str]], Depends(posted)]


class RoutePages:
    """What the buttons beside a route post to."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix=study_path("{uid}"))
        router.add_api_route("/release", self.release, methods=["POST"])
        return router

    def release(self, request: Request, uid: str, fields: Fields) -> Response:
        """Let a held route go on; the orchestrator finds it within a second."""
        visitor, _ = self._desk.enter(request, uid)
        site = self._desk.site
        site.gate.check_csrf(visitor, first(fields, CSRF_FIELD))
        route = first(fields, "route")
        try:
            site.store.routes.release(uid, route, visitor.account)
        except StoreError:
            raise _not_held() from None
        site.saw(visitor, "route-released", uid, route)
        return see_other(study_path(uid))


def _not_held() -> PageError:
    return PageError(
        409,
        "This rule is not held",
        "An image came, or somebody else let it go on. Open the study again to see where it is.",
    )
