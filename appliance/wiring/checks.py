"""What `check` looks at beyond the settings file: everything that it names."""

from collections.abc import Callable

from appliance.core.errors import ConfigError
from appliance.settings.model import Settings
from appliance.wiring.catalogue import installed, verify_weights
from appliance.wiring.forms import load_forms
from results_store.local_disk import check_local_disk


def check_installation(settings: Settings) -> None:
    """Raise ConfigError with everything wrong in pipelines, weights, forms and disk."""
    problems: list[str] = []
    for check in (_pipelines, load_forms, _disk):
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
