"""Triggers that keep rows as they were written."""

from alembic import op


def append_only(*tables: str) -> None:
    """Let nobody change or delete a row of `tables`, whoever is connected."""
    on_sqlite = op.get_bind().dialect.name == "sqlite"
    for table in tables:
        if on_sqlite:
            _protect_in_sqlite(table)
        else:
            _protect_in_postgresql(table)


def _protect_in_sqlite(table: str) -> None:
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )


def _protect_in_postgresql(table: str) -> None:
    op.execute(
        f"CREATE FUNCTION {table}_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{table} is append-only'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_refuse()"
    )
