"""Signed links: how a PACS opens one study here without a password.

A link is the IHE Invoke Image Display request (RAD-106) and three parameters more:

    BASE/IHEInvokeImageDisplay?requestType=STUDY&studyUID=1.2.3
        &user=NAME&expires=SECONDS&signature=HEX

`accessionNumber=…` may stand instead of `studyUID=…`. `user` is whom the audit names (the
reader, or "pacs"). `expires` is seconds since 1970-01-01 UTC, at most the site's link lifetime
ahead. `signature` is lower-case hex of HMAC-SHA256 under the link key over five lines, joined
by a line feed, without one at the end, in UTF-8, unescaped:

    appliance-link-1
    NAME
    studyUID (or accessionNumber)
    the UID or number itself
    SECONDS

Whoever holds the key can open every study: keep it as a password.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum, StrEnum, auto
from urllib.parse import urlencode

from feedback.tokens import is_signed, sign

PURPOSE = "appliance-link-1"
PATH = "/IHEInvokeImageDisplay"
MAX_USER_LENGTH = 64


class LinkBy(StrEnum):
    """What a link names its study by: the parameter names of RAD-106."""

    STUDY = "studyUID"
    ACCESSION = "accessionNumber"


class LinkCheck(Enum):
    """What a link's signature says."""

    UNSIGNED = auto()
    VALID = auto()
    EXPIRED = auto()
    FORGED = auto()  # or damaged on the way
    TOO_LONG = auto()  # valid for longer than the site allows


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedLink:
    """The signed part of a link, as it came."""

    user: str
    expires: str
    signature: str


def sign_link(
    key: bytes, *, base_url: str, by: LinkBy, value: str, user: str, expires_at: datetime
) -> str:
    """Return the whole URL that opens one study until `expires_at`.

    Raises ValueError for an empty value or user, or one with a line break.
    """
    if not value or not user or len(user) > MAX_USER_LENGTH:
        raise ValueError("a link needs a study and a user of at most 64 characters")
    expires = str(int(expires_at.timestamp()))
    query = {
        "requestType": "STUDY",
        by.value: value,
        "user": user,
        "expires": expires,
        "signature": sign(key, PURPOSE, user, by.value, value, expires),
    }
    return f"{base_url.rstrip('/')}{PATH}?{urlencode(query)}"


def read_signed_part(query: Mapping[str, str]) -> SignedLink | None:
    """Return the signed part of a request, or None where it carries none of it."""
    user, expires, signature = (query.get(k, "") for k in ("user", "expires", "signature"))
    if not signature and not expires:
        return None
    return SignedLink(user=user, expires=expires, signature=signature)


def check_link(
    key: bytes,
    link: SignedLink | None,
    by: LinkBy,
    value: str,
    *,
    now: datetime,
    longest: timedelta,
) -> LinkCheck:
    """Return whether `link` may open the study that `by` and `value` name."""
    if link is None:
        return LinkCheck.UNSIGNED
    named = 0 < len(link.user) <= MAX_USER_LENGTH
    parts = (PURPOSE, link.user, by.value, value, link.expires)
    if not named or not is_signed(key, link.signature, *parts):
        return LinkCheck.FORGED
    expires_at = _moment(link.expires)
    if expires_at is None:
        return LinkCheck.FORGED
    if expires_at <= now:
        return LinkCheck.EXPIRED
    return LinkCheck.TOO_LONG if expires_at > now + longest else LinkCheck.VALID


def _moment(seconds: str) -> datetime | None:
    if not (seconds.isascii() and seconds.isdigit() and len(seconds) <= 11):
        return None
    return datetime.fromtimestamp(int(seconds), UTC)
