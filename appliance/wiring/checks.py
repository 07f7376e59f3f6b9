"""What `check` looks at beyond the settings file: everything that it names."""

from collections.abc import Callable

from appliance.core.errors import ConfigError
from appliance.core.tls import client_context, server_context
from appliance.settings.model import Settings
from appliance.wiring.catalogue import installed, verify_weights
from appliance.wiring.certificates import server_files, tls_files
from appliance.wiring.forms import load_forms
from appliance.wiring.stow import stow_options
from results_store.local_disk import check_local_disk


def check_installation(settings: Settings) -> None:
    """Raise ConfigError with all that is wrong in pipelines, weights, forms, disk and TLS."""
    problems: list[str] = []
    for check in (_pipelines, load_forms, _disk, _tls, stow_options, _import_folder):
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


def _import_folder(settings: Settings) -> None:
    imports = settings.imports
    if imports is not None and (imports.folder.is_symlink() or not imports.folder.is_dir()):
        raise ConfigError(f"import.folder: {imports.folder} is no folder; make it")


def _tls(settings: Settings) -> None:
    servers = server_files(settings)
    problems = []
    for key, files in tls_files(settings).items():
        try:
            (server_context if key in servers else client_context)(files)
        except ConfigError as error:
            problems.append(f"{key}: {error}")
    if problems:
        raise ConfigError(*problems)
