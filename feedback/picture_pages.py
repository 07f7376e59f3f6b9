"""Frames and masks as PNG."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from appliance.core.errors import BadInstance
from feedback.auth import Visitor, study_path
from feedback.desk import Desk
from feedback.errors import PageError, not_found
from feedback.pictures import Remembered, Slice, Stack
from results_store.studies import StudyRow

REMEMBERED_LOOKS = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskAddress:
    """What the address of a mask says. `segment` is None for all segments."""

    uid: str
    series_uid: str
    job_id: int
    sop_uid: str
    frame: int
    segment: int | None = None
    style: str = "fill"


class PicturePages:
    """The pictures of one study; each says by its address which frame it is."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._audited: Remembered[tuple[bytes, str], bool] = Remembered(REMEMBERED_LOOKS)

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix=study_path("{uid}"))
        series = "/series/{series_uid}"
        router.add_api_route(series + "/frames/{sop_uid}/{frame}.png", self.image, methods=["GET"])
        masks = series + "/runs/{job_id}"
        router.add_api_route(masks + "/masks/{sop_uid}/{frame}.png", self.mask, methods=["GET"])
        router.add_api_route(masks + "/largest.json", self.largest, methods=["GET"])
        return router

    def image(
        self, request: Request, uid: str, series_uid: str, sop_uid: str, frame: int
    ) -> Response:
        """Return a frame."""
        visitor, study = self._desk.enter(request, uid)
        stack, item = self._slice(study, series_uid, sop_uid, frame)
        self._audited.get((visitor.key, series_uid), lambda: self._audit(visitor, uid, series_uid))
        try:
            return _png(self._desk.pictures.image(stack, item))
        except BadInstance:
            raise _unreadable() from None

    def mask(self, request: Request, at: Annotated[MaskAddress, Depends()]) -> Response:
        """Return the mask on a frame, of all segments or of one, filled or as outline."""
        _, study = self._desk.enter(request, at.uid)
        stack, item = self._slice(study, at.series_uid, at.sop_uid, at.frame)
        path = self._desk.mask_file(self._desk.job(study, at.job_id).job_id)
        if path is None:
            raise not_found()
        segments = self._desk.site.store.results.segments(at.job_id)
        colors = {s.tracking_uid: s.color for s in segments if at.segment in (None, s.number)}
        pictures = self._desk.pictures
        try:
            return _png(pictures.mask(stack, path, item, colors, outline=at.style == "outline"))
        except BadInstance:
            raise _unreadable() from None

    def largest(self, request: Request, uid: str, series_uid: str, job_id: int) -> Response:
        """Return for each segment number the slice (from 0) that shows most of it."""
        _, study = self._desk.enter(request, uid)
        stack = self._desk.stack(study, series_uid)
        path = self._desk.mask_file(self._desk.job(study, job_id).job_id)
        if stack is None or path is None:
            raise not_found()
        try:
            largest = self._desk.pictures.marks(stack, path).largest
        except BadInstance:
            raise _unreadable() from None
        segments = self._desk.site.store.results.segments(job_id)
        found = {s.number: largest[s.tracking_uid] for s in segments if s.tracking_uid in largest}
        return JSONResponse({str(number): index for number, index in found.items()})

    def _audit(self, visitor: Visitor, uid: str, series_uid: str) -> bool:
        """Note that a session looks at a series: once, not for each of its slices."""
        self._desk.site.saw(visitor, "images-viewed", uid, f"series {series_uid}")
        return True

    def _slice(
        self, study: StudyRow, series_uid: str, sop_uid: str, frame: int
    ) -> tuple[Stack, Slice]:
        stack = self._desk.stack(study, series_uid)
        item = None if stack is None else stack.find(sop_uid, frame)
        if stack is None or item is None:
            raise not_found()
        return stack, item


def _png(data: bytes) -> Response:
    return Response(data, media_type="image/png")


def _unreadable() -> PageError:
    return PageError(500, "This picture cannot be drawn", "Its file cannot be read.")
