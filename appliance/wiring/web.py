"""The web role."""

import importlib
from datetime import timedelta
from functools import partial
from zoneinfo import ZoneInfo

from fastapi import FastAPI
from starlette.types import ASGIApp

from appliance.core.ports import Role
from appliance.intake.patient import patient_key
from appliance.service import Service, Stop
from appliance.wiring.forms import load_forms
from appliance.wiring.lookout import lookout
from appliance.wiring.site import Site
from feedback.options import WebOptions
from feedback.server import WebServer
from feedback.site import WebSources
from feedback.web import create_app

_IDLE = timedelta(seconds=1)


def build(site: Site, _stop: Stop) -> Service:
    """Return the role; its port is open."""
    options = web_options(site)
    server = WebServer(options, _with_stow(site, application(site, options)))
    server.start()
    return Service(role=Role.WEB, step=partial(_check_alive, server), close=server.stop)


def _with_stow(site: Site, pages: FastAPI) -> ASGIApp:
    """Return the pages, behind STOW-RS where the settings have it."""
    if site.settings.receiver.stow is None:
        return pages
    # Only then: it brings what receiving needs, and pages don't.
    served: ASGIApp = importlib.import_module("appliance.wiring.stow").with_stow(site, pages)
    return served


def _check_alive(server: WebServer) -> timedelta:
    if not server.is_alive:
        raise OSError("the web server ended by itself")
    return _IDLE


def web_options(site: Site) -> WebOptions:
    """Return where and how the pages are served."""
    settings = site.settings
    tls = settings.web.tls
    return WebOptions(
        host=settings.web.listen.host,
        port=settings.web.listen.port,
        base_url=settings.web.url,
        institution=settings.appliance.institution,
        link_key=site.secret("link-key"),
        time_zone=ZoneInfo(settings.appliance.time_zone),
        tls_certificate=tls.certificate if tls else None,
        tls_key=tls.key if tls else None,
        session_lifetime=settings.web.session,
        link_lifetime=settings.web.link_lifetime,
    )


def application(site: Site, options: WebOptions) -> FastAPI:
    """Return the web application."""
    return create_app(
        options,
        WebSources(
            store=site.store,
            clock=site.clock,
            image_path=site.image,
            results_folder=site.folders.results,
            patient_key_of_id=partial(patient_key, site.secret("patient-key")),
            pipelines=tuple(site.settings.pipelines),
            forms=load_forms(site.settings),
            lookout=lookout(site),
        ),
    )
