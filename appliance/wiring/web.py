"""The pages: options, forms, accounts, links."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from fastapi import FastAPI
from feedback.forms import Form, parse_form
from feedback.links import LinkBy, sign_link
from feedback.options import WebOptions
from feedback.passwords import hash_password
from feedback.site import WebSources
from feedback.web import create_app

from appliance.core.errors import ConfigError, StoreError
from appliance.intake.patient import patient_key
from appliance.settings.model import Settings
from appliance.wiring.catalogue import installed
from appliance.wiring.site import Site

ROLES = ("reader", "admin")
LINK_USER = "pacs"


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
        time_zone=settings.appliance.time_zone,
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
            image_path=partial(_kept, site),
            results_folder=site.folders.results,
            patient_key_of_id=partial(patient_key, site.secret("patient-key")),
            manifests={
                name: pipeline.manifest for name, pipeline in installed(site.settings).items()
            },
            forms=load_forms(site.settings),
        ),
    )


def load_forms(settings: Settings) -> Mapping[str, Form]:
    """Return the forms by name. Raises ConfigError with every mistake in every form."""
    folder = settings.web.forms
    problems: list[str] = []
    forms: dict[str, Form] = {}
    for path in sorted(folder.glob("*.yaml")):
        try:
            forms[path.stem] = parse_form(path.read_text(encoding="utf-8"), str(path))
        except ConfigError as error:
            problems += error.problems
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{path}:1: (the whole file): cannot be read: {error}")
    wanted = {"default"} | {r.feedback for r in settings.routes if r.feedback is not None}
    problems += [f"{folder}: has no form {name}.yaml" for name in sorted(wanted - forms.keys())]
    if problems:
        raise ConfigError(*problems)
    return forms


def make_link(site: Site, study_instance_uid: str) -> str:
    """Return the signed link that opens this study's results until it expires."""
    settings = site.settings.web
    return sign_link(
        site.secret("link-key"),
        base_url=settings.url,
        by=LinkBy.STUDY,
        value=study_instance_uid,
        user=LINK_USER,
        expires_at=site.clock.now() + settings.link_lifetime,
    )


def review_page(site: Site) -> str:
    """Return the address of the worklist."""
    return f"{site.settings.web.url}/"


def add_account(site: Site, name: str, password: str, role: str) -> None:
    """Add an account. Raises StoreError or ConfigError, saying what to write."""
    if role not in ROLES:
        raise StoreError(f"{role!r} is no role; write one of {', '.join(ROLES)}")
    site.store.accounts.create(name, hash_password(password), role)


def change_password(site: Site, name: str, password: str) -> None:
    """Give an account another password; its open sessions end. Raises StoreError."""
    site.store.accounts.set_password(name, hash_password(password))


def _kept(site: Site, spool_name: str) -> Path | None:
    path = site.spool.path(spool_name)
    return path if path.is_file() else None
