"""STOW-RS in front of the pages."""

import hashlib
from pathlib import Path

from appliance.core.errors import ConfigError
from appliance.settings.doors import StowClientSettings
from appliance.settings.model import Settings
from appliance.wiring.depot import depot
from appliance.wiring.site import Site
from scp.stow import Application, Stow, StowClient, StowOptions

_SHORTEST_TOKEN = 16  # characters


def with_stow(site: Site, pages: Application) -> Application:
    """Return the pages, with STOW-RS before them."""
    options = stow_options(site.settings)
    return pages if options is None else Stow(options, depot(site), pages)


def stow_options(settings: Settings) -> StowOptions | None:
    """Return who may send what. Raises ConfigError for each token that cannot be read."""
    stow = settings.receiver.stow
    if stow is None:
        return None
    problems: list[str] = []
    clients: list[StowClient] = []
    for number, client in enumerate(stow.clients):
        try:
            digest = _digest(client)
        except ValueError as error:
            problems.append(f"receiver.stow.clients.{number}.token_file: {error}")
        else:
            clients.append(StowClient(ae_title=client.ae_title, token_sha256=digest))
    if problems:
        raise ConfigError(*problems)
    return StowOptions(
        ae_title=settings.appliance.ae_title,
        clients=tuple(clients),
        largest_request=stow.max_request,
        most_parts=stow.max_parts,
        most_requests=stow.max_requests,
        patience=stow.timeout,
    )


def _digest(client: StowClientSettings) -> bytes:
    if client.token_file is None:
        return bytes.fromhex(client.token_sha256 or "")
    return hashlib.sha256(_token(client.token_file)).digest()


def _token(path: Path) -> bytes:
    try:
        token = path.read_bytes().strip()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    if len(token) < _SHORTEST_TOKEN:
        raise ValueError(f"{path} holds fewer than {_SHORTEST_TOKEN} characters")
    return token
