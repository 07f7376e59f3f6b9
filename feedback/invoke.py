"""IHE Invoke Image Display (RAD-106): the way in from a PACS or RIS.

We are the Image Display. Answered: requestType=STUDY by studyUID or accessionNumber, also as
lists with commas; with a signature (`feedback.links`) or after a login.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from fastapi import APIRouter, Request
from fastapi.responses import Response

from appliance.core.uids import is_usable_uid
from feedback.auth import Visitor, study_path
from feedback.errors import LoginNeeded, PageError, not_found
from feedback.links import (
    PATH,
    LinkBy,
    LinkCheck,
    SignedLink,
    check_link,
    read_signed_part,
    sign_link,
)
from feedback.site import Site, see_other
from feedback.worklist import Overview
from results_store.studies import StudyRow

MOST_STUDIES = 20
LONGEST_VALUE = 64
_EXPIRED = (
    "Links from the PACS work for a limited time. Open the study again from the PACS, or log in"
    " with an account."
)
_FORGED = (
    "Its signature does not fit: it was changed or cut off on the way. Open the study again from"
    " the PACS; if that does not help, tell whoever looks after the appliance."
)
_TOO_LONG = (
    "It would work for longer than this site allows. Tell whoever looks after the appliance."
)
LINK_PROBLEMS = {
    LinkCheck.EXPIRED: ("This link has expired", _EXPIRED),
    LinkCheck.FORGED: ("This link is not valid", _FORGED),
    LinkCheck.TOO_LONG: ("This link is not valid", _TOO_LONG),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a request names: the studies, and the values as they were written."""

    by: LinkBy
    text: str
    values: tuple[str, ...]


class InvokePages:
    """The RAD-106 endpoint and its chooser."""

    def __init__(self, site: Site, overview: Overview) -> None:
        self._site = site
        self._overview = overview

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter()
        router.add_api_route(PATH, self.invoke, methods=["GET"])
        return router

    def invoke(self, request: Request) -> Response:
        """Lead to the study, or to a choice, or say why not."""
        asked = read_request(request)
        link = self._checked_link(request, asked)
        visitor = self._site.gate.visitor(request)
        if visitor is None and link is None:
            raise LoginNeeded
        found = self._find(asked)
        if not found:
            raise not_found()
        if len(found) > 1:
            return self._choose(request, found, visitor, link)
        response = see_other(study_path(found[0].study_instance_uid))
        if visitor is None and link is not None:
            self._open(response, link, found[0].study_instance_uid)
        return response

    def _checked_link(self, request: Request, asked: Asked) -> SignedLink | None:
        options = self._site.options
        link = read_signed_part(request.query_params)
        checked = check_link(
            options.link_key,
            link,
            asked.by,
            asked.text,
            now=self._site.sources.clock.now(),
            longest=options.link_lifetime,
        )
        if checked in LINK_PROBLEMS:
            raise PageError(403, *LINK_PROBLEMS[checked])
        return link

    def _open(self, response: Response, link: SignedLink, study_instance_uid: str) -> None:
        self._site.gate.open_study(response, link.user, study_instance_uid)
        self._site.store.audit.record(link.user, "link-opened", study_instance_uid, "")

    def _find(self, asked: Asked) -> tuple[StudyRow, ...]:
        studies = self._site.store.studies
        found: dict[str, StudyRow] = {}
        for value in asked.values:
            if asked.by is LinkBy.STUDY:
                rows = studies.search(study_instance_uid=value, limit=MOST_STUDIES)
            else:
                rows = studies.search(accession_number=value, limit=MOST_STUDIES)
            found |= {row.study_instance_uid: row for row in rows}
        return tuple(found.values())[:MOST_STUDIES]

    def _choose(
        self,
        request: Request,
        found: tuple[StudyRow, ...],
        visitor: Visitor | None,
        link: SignedLink | None,
    ) -> Response:
        rows = [(self._overview.row(study), self._url(study, visitor, link)) for study in found]
        actor = link.user if visitor is None and link is not None else ""
        actor = visitor.account if visitor is not None else actor
        for study in found:
            uid = study.study_instance_uid
            self._site.store.audit.record(actor, "chooser-viewed", uid, "")
        return self._site.pages.draw(request, "chooser.html", visitor, {"rows": rows})

    def _url(self, study: StudyRow, visitor: Visitor | None, link: SignedLink | None) -> str:
        """Return a link to one of several studies that carries on the right to open it."""
        if visitor is not None or link is None:
            return study_path(study.study_instance_uid)
        return sign_link(
            self._site.options.link_key,
            base_url="",
            by=LinkBy.STUDY,
            value=study.study_instance_uid,
            user=link.user,
            expires_at=datetime.fromtimestamp(int(link.expires), UTC),
        )


def read_request(request: Request) -> Asked:
    """Return what the request names. Raises PageError for what cannot be answered."""
    query = request.query_params
    kind = query.get("requestType", "")
    if kind == "PATIENT":
        raise PageError(
            501,
            "Opening a whole patient is not supported",
            "This appliance opens one study at a time: ask with requestType=STUDY and studyUID or"
            " accessionNumber. To see all studies of a patient, log in and search the worklist.",
        )
    if kind != "STUDY":
        raise PageError(400, "This request is incomplete", "It must say requestType=STUDY.")
    if "studyUID" in query:
        return _asked(LinkBy.STUDY, query["studyUID"])
    return _asked(LinkBy.ACCESSION, query.get("accessionNumber", ""))


def _asked(by: LinkBy, text: str) -> Asked:
    values = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not values:
        what = "study UID" if by is LinkBy.STUDY else "accession number"
        raise PageError(
            400,
            f"The {what} is empty",
            f"The request names no study: its {what} is missing or empty, and an empty one never"
            " matches a study. Search the worklist instead, or tell whoever looks after the PACS.",
        )
    if by is LinkBy.STUDY and not all(is_usable_uid(value) for value in values):
        raise PageError(400, "This is not a study UID", "A UID has digits and dots alone.")
    if len(values) > MOST_STUDIES or max(map(len, values)) > LONGEST_VALUE:
        raise PageError(400, "This request is too long", f"At most {MOST_STUDIES} studies.")
    return Asked(by=by, text=text, values=values)
