"""Which files TLS needs, by the key of the settings, and until when they are good."""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta

from appliance.core.clock import Clock
from appliance.core.errors import ConfigError
from appliance.core.log import Event, log_event
from appliance.core.tls import TlsFiles, expires
from appliance.settings.model import Settings
from appliance.wiring.nodes import tls_of

RECEIVER_TLS = "receiver.tls"

_WARN = timedelta(days=30)


def server_files(settings: Settings) -> Mapping[str, TlsFiles]:
    """Return the files of each door that has TLS."""
    found = {}
    if (door := settings.receiver.tls) is not None:
        found[RECEIVER_TLS] = TlsFiles(
            certificate=door.certificate, key=door.key, trusted=door.client_ca
        )
    if (web := settings.web.tls) is not None:
        found["web.tls"] = TlsFiles(certificate=web.certificate, key=web.key)
    return found


def tls_files(settings: Settings) -> Mapping[str, TlsFiles]:
    """Return the files of all that has TLS, in and out."""
    nodes = {
        f"destinations.{name}.tls": tls.files
        for name, destination in settings.destinations.items()
        if (tls := tls_of(destination.tls)) is not None
    }
    return {**server_files(settings), **nodes}


def expiring(settings: Settings, now: datetime) -> Mapping[str, str]:
    """Return what to say of each key whose certificate ends within 30 days, or ended."""
    return {
        key: said
        for key, files in tls_files(settings).items()
        if (said := _said(files, now)) is not None
    }


def log_expiring(settings: Settings, clock: Clock) -> None:
    """Log what `expiring` says."""
    for key, said in expiring(settings, clock.now()).items():
        log_event(Event.CERTIFICATE_EXPIRES, level=logging.WARNING, path=key, reason=said)


def _said(files: TlsFiles, now: datetime) -> str | None:
    try:
        end = expires(files)
    except ConfigError as error:
        return str(error)
    if end is None or end - now > _WARN:
        return None
    if end <= now:
        return f"a certificate ended on {end:%Y-%m-%d}: nobody can connect"
    return f"a certificate ends on {end:%Y-%m-%d}, in {(end - now).days} days"
