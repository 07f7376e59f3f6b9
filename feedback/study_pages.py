"""The page of one study, and its parts that refresh themselves."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import Response

from appliance.core.errors import BadInstance
from feedback.answers import AnswerPages
from feedback.auth import study_path
from feedback.desk import Desk
from feedback.pictures import Stack
from feedback.review import RunView


class MaskStyle(StrEnum):
    """How the segmentation lies over the image."""

    FILL = "fill"
    OUTLINE = "outline"
    OFF = "off"


OPACITIES = (20, 40, 60, 80, 100)  # per cent; the steps that work without a script
USUAL_OPACITY = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the address says of how to look, checked."""

    run: int | None
    number: int  # of the slice, from 1
    style: MaskStyle
    opacity: int  # per cent, one of OPACITIES
    segment: int | None

    def link(self, **changes: object) -> str:
        """Return the query of the same look with some changes; None leaves one out."""
        values: dict[str, object] = {
            "run": self.run,
            "slice": self.number,
            "mask": self.style.value,
            "opacity": self.opacity,
            "segment": self.segment,
        } | changes
        return "?" + "&".join(f"{key}={v}" for key, v in values.items() if v is not None)


class StudyPages:
    """/studies/UID and the parts of it that load themselves again."""

    def __init__(self, desk: Desk, answers: AnswerPages) -> None:
        self._desk = desk
        self._answers = answers

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix=study_path("{uid}"))
        router.add_api_route("", self.show, methods=["GET"])
        router.add_api_route("/state", self.state, methods=["GET"])
        router.add_api_route("/runs/{job_id}/deliveries", self.deliveries, methods=["GET"])
        return router

    def show(self, request: Request, uid: str, run: int | None = None) -> Response:
        """Show the whole page."""
        visitor, study = self._desk.enter(request, uid)
        review = self._desk.review(study, run)
        shown = review.run
        self._desk.site.saw(
            visitor, "study-viewed", uid, "" if shown is None else f"run {shown.job.run_uid}"
        )
        stack = self._desk.stack(study, "" if shown is None else shown.series_instance_uid)
        mask = None if shown is None else self._desk.mask_file(shown.job.job_id)
        view = self._view(request, shown, run, stack, mask)
        instances = self._desk.site.store.studies.instances(uid)
        values = {
            "base": study_path(uid),
            "review": review,
            "run": shown,
            "view": view,
            "banner": self._desk.banners.of(instances),
            "titles": self._desk.pictures.titles(instances),
            "superseded": {job.supersedes for job, _ in review.runs},
            "stack": stack,
            "has_mask": mask is not None,
            "opacities": OPACITIES,
        }
        values |= self._answers.values(request, visitor, shown)
        return self._desk.site.pages.draw(request, "study.html", visitor, values)

    def state(self, request: Request, uid: str, mark: str = "", has_result: int = 0) -> Response:
        """Return where the runs stand; a page without a result is told to load itself again."""
        visitor, study = self._desk.enter(request, uid)
        review = self._desk.review(study, None)
        changed = mark != review.mark
        response = self._desk.site.pages.draw(
            request,
            "_state.html",
            visitor,
            {
                "base": study_path(uid),
                "review": review,
                "mark": mark,
                "changed": changed,
                "has_result": bool(has_result),
            },
        )
        if changed and not has_result:
            response.headers["HX-Refresh"] = "true"
        return response

    def deliveries(self, request: Request, uid: str, job_id: int) -> Response:
        """Return where the run's objects on their way stand."""
        visitor, study = self._desk.enter(request, uid)
        run = self._desk.review(study, job_id).run
        return self._desk.site.pages.draw(
            request, "_deliveries.html", visitor, {"base": study_path(uid), "run": run}
        )

    def _view(
        self,
        request: Request,
        shown: RunView | None,
        run: int | None,
        stack: Stack | None,
        mask: Path | None,
    ) -> View:
        query = request.query_params
        count = 0 if stack is None else len(stack.slices)
        segment = _number(query.get("segment"))
        number = _number(query.get("slice"))
        if number is None and shown and stack and mask:
            number = self._largest(shown, stack, mask, segment)
        opacity = _number(query.get("opacity"))
        style = query.get("mask", "")
        return View(
            run=run,
            number=min(max(number or count // 2 + 1, 1), max(count, 1)),
            style=MaskStyle(style) if style in set(MaskStyle) else MaskStyle.FILL,
            opacity=opacity if opacity in OPACITIES else USUAL_OPACITY,
            segment=segment,
        )

    def _largest(self, shown: RunView, stack: Stack, mask: Path, segment: int | None) -> int | None:
        """Return the number of the slice that shows most of the segment, or None."""
        names = [s.tracking_uid for s in shown.segments if s.number == segment]
        if not names:
            return None
        try:
            index = self._desk.pictures.marks(stack, mask).largest.get(names[0])
        except BadInstance:
            return None
        return None if index is None else index + 1


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 7 else None
