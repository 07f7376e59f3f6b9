"""Runs the steps of `migrations/` by Alembic, inside a transaction that is open already."""

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, inspect

from appliance.core.errors import StoreError
from results_store.revisions import found_in


def upgrade(connection: Connection) -> None:
    """Bring the database to this version's schema. Raises StoreError if it is another program's."""
    if found_in(connection) is None and inspect(connection).get_table_names():
        raise StoreError("the database has tables of another program; give the store its own")
    config = Config()
    config.set_main_option("script_location", "results_store:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
