"""Accounts and sessions: hashes only, no password and no token."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select, update

from appliance.core.errors import StoreError
from results_store.engine import Database, insert_if_absent
from results_store.rows import pick
from results_store.schema.said import account, web_session


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A person who may log in."""

    name: str
    password_hash: str
    role: str
    created_at: datetime
    disabled_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session that is open. `study_scope` is the one study that it may see, or None for all."""

    token_hash: str
    account: str
    study_scope: str | None
    opened_at: datetime
    expires_at: datetime


class Accounts:
    """Who may log in, and who is."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, name: str, password_hash: str, role: str) -> None:
        """Add an account. Raises StoreError if the name is taken."""
        values = {
            "name": name,
            "password_hash": password_hash,
            "role": role,
            "created_at": self._database.clock.now(),
        }
        with self._database.write() as connection:
            if not insert_if_absent(connection, account, values):
                raise StoreError(f"there is an account {name!r} already")

    def get(self, name: str) -> Account | None:
        """Return the account, also a disabled one, or None."""
        with self._database.read() as connection:
            row = connection.execute(select(account).where(account.c.name == name)).one_or_none()
            return None if row is None else _to_account(row)

    def list(self) -> tuple[Account, ...]:
        """Return all accounts by name."""
        with self._database.read() as connection:
            rows = connection.execute(select(account).order_by(account.c.name))
            return tuple(_to_account(row) for row in rows)

    def set_password(self, name: str, password_hash: str) -> None:
        """Change the password and close the account's sessions. Raises StoreError."""
        self._change(name, {"password_hash": password_hash})

    def disable(self, name: str) -> None:
        """Shut the account out and close its sessions. Raises StoreError."""
        self._change(name, {"disabled_at": self._database.clock.now()})

    def open_session(
        self, token_hash: str, account: str, study_scope: str | None, expires_at: datetime
    ) -> None:
        """Open a session. `account` may also be the name that a signed link carries."""
        values = {
            "token_hash": token_hash,
            "account": account,
            "study_scope": study_scope,
            "opened_at": self._database.clock.now(),
            "expires_at": expires_at,
        }
        with self._database.write() as connection:
            connection.execute(web_session.insert().values(**values))

    def session(self, token_hash: str, now: datetime) -> Session | None:
        """Return the session if it is open, or None: unknown, expired or closed."""
        query = select(web_session).where(
            web_session.c.token_hash == token_hash,
            web_session.c.expires_at > now,
            web_session.c.closed_at.is_(None),
        )
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
            if row is None:
                return None
            return Session(**pick(row, Session))

    def close_session(self, token_hash: str) -> None:
        """Close the session; nothing happens if it is closed or unknown."""
        now = self._database.clock.now()
        with self._database.write() as connection:
            connection.execute(
                update(web_session)
                .where(web_session.c.token_hash == token_hash, web_session.c.closed_at.is_(None))
                .values(closed_at=now)
            )

    def _change(self, name: str, values: dict[str, object]) -> None:
        now = self._database.clock.now()
        with self._database.write() as connection:
            changed = connection.execute(
                update(account).where(account.c.name == name).values(**values)
            )
            if changed.rowcount != 1:
                raise StoreError(f"there is no account {name!r}")
            connection.execute(
                update(web_session)
                .where(web_session.c.account == name, web_session.c.closed_at.is_(None))
                .values(closed_at=now)
            )


def _to_account(row: Row[Any]) -> Account:
    return Account(**pick(row, Account))
