"""Keyed marks (HMAC-SHA256): what carries one was made here, for this purpose and session."""

import hashlib
import hmac
import secrets
from datetime import UTC, datetime

SEPARATOR = "\n"


def sign(key: bytes, *parts: str) -> str:
    """Return the mark over `parts` as lower-case hex. Raises ValueError for a line break in one."""
    if any(SEPARATOR in part for part in parts):
        raise ValueError("a signed part must not contain a line break")
    return hmac.new(key, SEPARATOR.join(parts).encode(), hashlib.sha256).hexdigest()


def is_signed(key: bytes, mark: str, *parts: str) -> bool:
    """Return whether `mark` is the one over `parts`, in constant time."""
    if any(SEPARATOR in part for part in parts):
        return False
    return hmac.compare_digest(sign(key, *parts).encode(), mark.encode("utf-8", "replace"))


def new_session_token() -> str:
    """Return 256 random bits; only their hash is ever stored."""
    return secrets.token_urlsafe(32)


def hash_of(token: str) -> str:
    """Return what the store keeps of a session's token."""
    return hashlib.sha256(token.encode()).hexdigest()


def session_key(link_key: bytes, token: str) -> bytes:
    """Return the key of one session. Neither the PACS nor the browser alone can make it."""
    return hmac.new(link_key, b"session\n" + token.encode(), hashlib.sha256).digest()


def csrf_token(key: bytes) -> str:
    """Return the synchroniser token that each form of a session carries."""
    return sign(key, "csrf")


def opened_token(key: bytes, job_id: int, opened_at: datetime) -> str:
    """Return a mark of when the form for `job_id` was handed out."""
    stamp = opened_at.astimezone(UTC).isoformat()
    return f"{stamp} {sign(key, 'opened', str(job_id), stamp)}"


def read_opened_token(key: bytes, job_id: int, text: str) -> datetime | None:
    """Return when the form was handed out, or None for a mark that is not ours."""
    stamp, _, mark = text.partition(" ")
    if not is_signed(key, mark, "opened", str(job_id), stamp):
        return None
    return datetime.fromisoformat(stamp)
