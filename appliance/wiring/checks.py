"""What `check` looks at beyond the settings file: everything that it names."""

from collections.abc import Callable
from datetime import date, datetime
from functools import partial
from zoneinfo import ZoneInfo

from appliance.core.errors import ConfigError
from appliance.core.tls import client_context, server_context
from appliance.settings.model import Settings
from appliance.wiring.catalogue import installed, verify_meanings, verify_weights
from appliance.wiring.certificates import server_files, tls_files
from appliance.wiring.forms import load_forms
from appliance.wiring.releases import problems
from appliance.wiring.stow import stow_options
from results_store.local_disk import check_local_disk

_Check = Callable[[Settings], object]


def check_installation(settings: Settings) -> None:
    """Raise ConfigError with all that keeps a role from starting.

    That is what is wrong in pipelines, weights, forms, disk and TLS.
    """
    _run(_CHECKS, settings)


def check_everything(settings: Settings, now: datetime) -> None:
    """Raise ConfigError also with what does not keep a role from starting, but results here.

    That is codes under a wrong meaning, and what is wrong with releases.
    """
    day = now.astimezone(ZoneInfo(settings.appliance.time_zone)).date()
    _run((*_CHECKS, _codes, partial(_releases, day)), settings)


def _run(checks: tuple[_Check, ...], settings: Settings) -> None:
    found: dict[str, None] = {}  # once, in their order
    for check in checks:
        found |= dict.fromkeys(_problems_of(check, settings))
    if found:
        raise ConfigError(*found)


def _problems_of(check: Callable[[Settings], object], settings: Settings) -> tuple[str, ...]:
    try:
        check(settings)
    except ConfigError as error:
        return error.problems
    return ()


def _pipelines(settings: Settings) -> None:
    verify_weights(installed(settings))


def _codes(settings: Settings) -> None:
    verify_meanings(installed(settings))


def _releases(day: date, settings: Settings) -> None:
    found = problems(settings, installed(settings), day)
    if found:
        raise ConfigError(*found)


def _disk(settings: Settings) -> None:
    check_local_disk(settings.store_url)


def _import_folder(settings: Settings) -> None:
    imports = settings.imports
    if imports is not None and (imports.folder.is_symlink() or not imports.folder.is_dir()):
        raise ConfigError(f"import.folder: {imports.folder} is no folder; make it")


def _tls(settings: Settings) -> None:
    servers = server_files(settings)
    found = []
    for key, files in tls_files(settings).items():
        try:
            (server_context if key in servers else client_context)(files)
        except ConfigError as error:
            found.append(f"{key}: {error}")
    if found:
        raise ConfigError(*found)


_CHECKS: tuple[_Check, ...] = (
    _pipelines,
    load_forms,
    _disk,
    _tls,
    stow_options,
    _import_folder,
)
