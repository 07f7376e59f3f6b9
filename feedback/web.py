"""create_app(): the pages as one ASGI application."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.staticfiles import StaticFiles

from feedback.answers import AnswerPages
from feedback.auth import Gate
from feedback.banner import Banners
from feedback.cards import Cards
from feedback.desk import Desk
from feedback.drift_page import DriftPages
from feedback.errors import LoginNeeded, PageError
from feedback.invoke import InvokePages
from feedback.login_pages import LoginPages, login_url
from feedback.options import WebOptions, check_options
from feedback.picture_pages import PicturePages
from feedback.pictures import Pictures
from feedback.pipeline_pages import PipelinePages
from feedback.review import Reviewer
from feedback.route_pages import RoutePages
from feedback.shield import Shield
from feedback.site import STATIC, Pages, Site, WebSources, is_htmx, see_other
from feedback.study_pages import StudyPages
from feedback.where_pages import WherePages
from feedback.worklist import Overview, WorklistPages

_KNOWN_ERRORS = {
    404: ("There is no such page", "Check the address, or start from the worklist."),
    405: ("There is no such page", "Check the address, or start from the worklist."),
}


def create_app(options: WebOptions, sources: WebSources) -> FastAPI:
    """Return the application. Raises ConfigError for options that must not be served."""
    check_options(options)
    gate = Gate(options, sources.store, sources.clock)
    site = Site(options=options, sources=sources, gate=gate, pages=Pages(options))
    app = FastAPI(title="appliance", docs_url=None, redoc_url=None, openapi_url=None)
    _add_pages(app, site)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    _add_errors(app, site)
    app.add_middleware(
        TrustedHostMiddleware, allowed_hosts=list(options.allowed_hosts), www_redirect=False
    )
    app.add_middleware(
        Shield,
        base_url=options.base_url,
        max_body_bytes=options.max_body_bytes,
        strict_transport=options.uses_tls,
    )
    return app


def _add_pages(app: FastAPI, site: Site) -> None:
    banners = Banners(site.sources.image_path)
    overview = Overview(site, banners)
    cards = Cards(site.store)
    desk = Desk(
        site=site,
        banners=banners,
        pictures=Pictures(site.sources.image_path),
        reviewer=Reviewer(site.sources, cards, site.options.time_zone),
    )
    answers = AnswerPages(desk)
    for pages in (
        LoginPages(site),
        WorklistPages(site, overview),
        InvokePages(site, overview),
        StudyPages(desk, answers),
        RoutePages(desk),
        PicturePages(desk),
        answers,
        DriftPages(site),
        PipelinePages(site, cards),
        WherePages(desk),
    ):
        app.include_router(pages.router())


def _add_errors(app: FastAPI, site: Site) -> None:
    def page_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, PageError)  # noqa: S101 (Starlette's signature is too wide)
        if isinstance(error, LoginNeeded) and not is_htmx(request) and request.method == "GET":
            return see_other(login_url(_target(request)))
        return _draw_error(site, request, error)

    def http_error(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 404
        title, message = _KNOWN_ERRORS.get(status, ("This did not work", "Please try again."))
        return _draw_error(site, request, PageError(status, title, message))

    def failed(request: Request, error: Exception) -> Response:
        del error  # the server logs it
        title, message = "Something broke here", "It is in the appliance's log. Please try again."
        return _draw_error(site, request, PageError(500, title, message))

    app.add_exception_handler(PageError, page_error)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(RequestValidationError, http_error)
    app.add_exception_handler(Exception, failed)


def _target(request: Request) -> str:
    query = request.url.query
    return f"{request.url.path}?{query}" if query else request.url.path


def _draw_error(site: Site, request: Request, error: PageError) -> Response:
    template = "_error.html" if is_htmx(request) else "error.html"
    response = site.pages.draw(request, template, values={"error": error}, status=error.status)
    if is_htmx(request):
        response.headers["HX-Retarget"] = "#notice"
        response.headers["HX-Reswap"] = "innerHTML"
    return response
