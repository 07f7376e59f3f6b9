"""What `check` looks at beyond the settings file: everything that it names."""

import ssl
from collections.abc import Callable
from pathlib import Path

from appliance.core.errors import ConfigError
from appliance.settings.model import Settings
from appliance.wiring.catalogue import installed, verify_weights
from appliance.wiring.forms import load_forms
from results_store.local_disk import check_local_disk


def check_installation(settings: Settings) -> None:
    """Raise ConfigError with everything wrong in pipelines, weights, forms, TLS and disk."""
    problems: list[str] = []
    for check in (_pipelines, load_forms, _certificate, _disk):
        problems += _problems_of(check, settings)
    if problems:
        raise ConfigError(*problems)


def _problems_of(check: Callable[[Settings], object], settings: Settings) -> tuple[str, ...]:
    try:
        check(settings)
    except ConfigError as error:
        return error.problems
    return ()


def _pipelines(settings: Settings) -> None:
    verify_weights(installed(settings))


def _certificate(settings: Settings) -> None:
    tls = settings.web.tls
    if tls is None:
        return
    unreadable = [
        f"{path}: cannot be read: {why}"
        for path in (tls.certificate, tls.key)
        if (why := _why_unreadable(path))
    ]
    if unreadable:
        raise ConfigError(*unreadable)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.certificate, tls.key)
    except ssl.SSLError as error:
        raise ConfigError(
            f"{tls.certificate} and {tls.key} are no certificate and its key in PEM "
            f"({error.reason or error})"
        ) from None


def _why_unreadable(path: Path) -> str:
    try:
        path.read_bytes()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _disk(settings: Settings) -> None:
    check_local_disk(settings.store_url)
