"""The store that the settings name."""

from appliance.core.clock import Clock
from appliance.settings.model import Settings
from results_store.migrate import migrate
from results_store.options import StoreOptions
from results_store.store import Store, open_store


def ready_store(settings: Settings, clock: Clock) -> Store:
    """Return the store, brought to this version's schema. Raises StoreError, ConfigError."""
    options = StoreOptions(url=settings.store_url)
    migrate(options)
    return open_store(options, clock)
