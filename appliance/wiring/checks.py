"""What `check` looks at beyond the settings file: everything that it names."""

import ssl
from collections.abc import Callable

from appliance.core.errors import ConfigError
from appliance.settings.model import Settings
from appliance.wiring.catalogue import installed, verify_weights
from appliance.wiring.forms import load_forms
from results_store.local_disk import check_local_disk


def check_installation(settings: Settings) -> None:
    """Raise ConfigError with all that is wrong in pipelines, weights, forms, disk and TLS."""
    problems: list[str] = []
    for check in (_pipelines, load_forms, _disk, _tls):
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


def _disk(settings: Settings) -> None:
    check_local_disk(settings.store_url)


def _tls(settings: Settings) -> None:
    tls = settings.web.tls
    if tls is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.certificate, tls.key)
    except OSError as error:  # of which SSLError is one
        raise ConfigError(
            f"web.tls: {tls.certificate} and {tls.key} cannot be used together: "
            f"{error.strerror or error}; name a PEM certificate and its own key, without a "
            "password, which the appliance's user may read"
        ) from None
