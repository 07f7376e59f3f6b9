"""The worklist: what arrived, where it stands, and the search."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from feedback.auth import CSRF_FIELD, Visitor
from feedback.banner import Banners, PatientBanner
from feedback.site import Site, first, posted
from feedback.status import Status, of_study
from results_store.studies import StudyRow

Fields = Annotated[Mapping[str, Sequence[str]], Depends(posted)]
PAGE_SIZE = 50
LONGEST_SEARCH = 140
SEARCHES = {
    "accession_number": "accession number",
    "study_instance_uid": "study UID",
    "patient_id": "patient ID",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the worklist. The banner is None once no image is kept."""

    study: StudyRow
    banner: PatientBanner | None
    status: Status


class Overview:
    """Gathers the lines."""

    def __init__(self, site: Site, banners: Banners) -> None:
        self._store = site.store
        self._banners = banners

    def row(self, study: StudyRow) -> Row:
        """Return the line of one study."""
        uid = study.study_instance_uid
        return Row(
            study=study,
            banner=self._banners.of(self._store.studies.instances(uid)),
            status=of_study(
                [job for job in self._store.jobs.of_study(uid) if not job.is_of_cohort],
                self._store.routes.of_study(uid),
                self._store.decisions.of_study(uid),
            ),
        )


class WorklistPages:
    """The list and its search; accounts only. What is searched for is posted, never in a URL."""

    def __init__(self, site: Site, overview: Overview) -> None:
        self._site = site
        self._overview = overview

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter()
        router.add_api_route("/", self.list, methods=["GET"])
        router.add_api_route("/search", self.list, methods=["GET"])
        router.add_api_route("/search", self.search, methods=["POST"])
        return router

    def list(self, request: Request, page: int = 1) -> Response:
        """Show the newest studies."""
        visitor = self._site.gate.require_account(request)
        page = min(max(page, 1), 10_000)
        found = self._site.store.studies.search(limit=PAGE_SIZE + 1, offset=(page - 1) * PAGE_SIZE)
        self._site.saw(visitor, "worklist-viewed", None)
        rows = [self._overview.row(study) for study in found[:PAGE_SIZE]]
        more = len(found) > PAGE_SIZE
        return self._draw(request, visitor, rows, page=page, more=more)

    def search(self, request: Request, fields: Fields) -> Response:
        """Show the studies that match exactly."""
        visitor = self._site.gate.require_account(request)
        self._site.gate.check_csrf(visitor, first(fields, CSRF_FIELD))
        by, text = first(fields, "by"), first(fields, "text").strip()[:LONGEST_SEARCH]
        by = by if by in SEARCHES else "accession_number"
        self._site.saw(visitor, "worklist-searched", None, f"by {SEARCHES[by]}")
        rows = [self._overview.row(study) for study in self._find(by, text)]
        return self._draw(request, visitor, rows, by=by, text=text)

    def _draw(
        self,
        request: Request,
        visitor: Visitor,
        rows: Sequence[Row],
        *,
        page: int = 0,
        more: bool = False,
        by: str = "accession_number",
        text: str = "",
    ) -> Response:
        values = {
            "rows": rows,
            "page": page,
            "more": more,
            "by": by,
            "text": text,
            "searches": SEARCHES,
        }
        return self._site.pages.draw(request, "worklist.html", visitor, values)

    def _find(self, by: str, text: str) -> Sequence[StudyRow]:
        studies = self._site.store.studies
        if not text:
            return ()
        if by == "accession_number":
            return studies.search(accession_number=text, limit=PAGE_SIZE)
        if by == "study_instance_uid":
            return studies.search(study_instance_uid=text, limit=PAGE_SIZE)
        patient_id, _, rest = text.partition("^^^")
        key = self._site.sources.patient_key_of_id(patient_id, rest)
        return () if key is None else studies.search(patient_key=key, limit=PAGE_SIZE)
