"""Run by Alembic, never imported: migrates over the connection that it is given."""

from alembic import context

from results_store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite knows no ALTER COLUMN: later steps copy the table.
    render_as_batch=True,
)
context.run_migrations()
