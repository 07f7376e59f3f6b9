"""Passwords of local accounts, as argon2id hashes."""

import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from appliance.core.errors import ConfigError

SHORTEST = 10
LONGEST = 200  # hashing costs by length; nobody types more
AT_ONCE = 4  # each takes 64 MiB: strangers who post in parallel must not fill the memory


def hash_password(password: str) -> str:
    """Return what the store keeps of a password. Raises ConfigError for one too short or long."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise ConfigError(f"a password needs {SHORTEST} to {LONGEST} characters")
    return PasswordHasher().hash(password)


class PasswordCheck:
    """Compares passwords; takes as long for an account that does not exist."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._turns = threading.BoundedSemaphore(AT_ONCE)

    def holds(self, password_hash: str | None, password: str) -> bool:
        """Return whether `password` is the one that was hashed; None never holds."""
        if len(password) > LONGEST:
            return False
        with self._turns:
            return self._compare(password_hash, password)

    def _compare(self, password_hash: str | None, password: str) -> bool:
        if password_hash is None:
            self._hasher.hash(password)  # costs what a comparison costs
            return False
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False
