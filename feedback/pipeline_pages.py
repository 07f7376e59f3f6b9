"""/pipelines: every version that was ever here, its card, its releases and how often it ran."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from fastapi import APIRouter, Request
from fastapi.responses import Response

from feedback.cards import Card, Cards
from feedback.errors import not_found
from feedback.site import Site
from feedback.system import PipelineLine


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One version, and what becomes of its results now; None where it is installed no more."""

    card: Card
    line: PipelineLine | None


class PipelinePages:
    """The list, and a page for each version. For accounts."""

    def __init__(self, site: Site, cards: Cards) -> None:
        self._site = site
        self._cards = cards
        self._now = site.sources.lookout.pipelines

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter()
        router.add_api_route("/pipelines", self.list, methods=["GET"])
        router.add_api_route("/pipelines/{digest}", self.show, methods=["GET"])
        return router

    def list(self, request: Request) -> Response:
        """Show all versions, by pipeline."""
        visitor = self._site.gate.require_account(request)
        self._site.saw(visitor, "pipelines-viewed", None)
        lines = self._now()
        shown = _shown(self._cards.all(), lines)
        values = {
            "pipelines": [
                (name, list(versions))
                for name, versions in groupby(shown, key=lambda one: one.card.version.name)
            ],
            "broken": [line for line in lines if not line.version],
        }
        return self._site.pages.draw(request, "pipelines.html", visitor, values)

    def show(self, request: Request, digest: str) -> Response:
        """Show one version."""
        visitor = self._site.gate.require_account(request)
        card = self._cards.of(digest)
        if card is None:
            raise not_found()
        self._site.saw(visitor, "pipeline-viewed", None, f"{card.version.name} {digest}")
        (shown,) = _shown((card,), self._now())
        day = self._site.sources.clock.now().astimezone(self._site.options.time_zone).date()
        values = {"card": card, "line": shown.line, "day": day}
        return self._site.pages.draw(request, "pipeline.html", visitor, values)


def _shown(cards: Sequence[Card], lines: Sequence[PipelineLine]) -> list[Shown]:
    by_digest = {line.digest: line for line in lines}
    return [Shown(card=card, line=by_digest.get(card.version.digest)) for card in cards]
