"""DICOM unique identifiers: checked, and made from names (PS3.5 section 9 and annex B.2)."""

import re
import uuid

MAX_UID_LENGTH = 64
_UID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+")
# Received UIDs are matched less strictly: leading zeros in a component are wrong but common,
# and refusing the image would lose it.
_RECEIVED_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_NAMESPACE = uuid.UUID("6f0d7f4e-6a0c-5b8e-9a53-0d9e5a6b1c42")


def is_valid_uid(text: str) -> bool:
    """Return whether `text` is a UID as PS3.5 section 9.1 wants it."""
    return len(text) <= MAX_UID_LENGTH and _UID.fullmatch(text) is not None


def is_usable_uid(text: str) -> bool:
    """Return whether a received `text` can serve as a key: digits and dots, at most 64."""
    return 0 < len(text) <= MAX_UID_LENGTH and _RECEIVED_UID.fullmatch(text) is not None


def uid_from_name(*parts: str, root: str | None = None) -> str:
    """Return the same UID for the same `parts`, always.

    Without `root` it is `2.25.` and a name-based UUID (PS3.5 B.2); with a site's `root` it is
    that root and as many digits of the UUID as 64 characters leave room for.
    """
    number = str(uuid.uuid5(_NAMESPACE, "\x1f".join(parts)).int)
    if root is None:
        return f"2.25.{number}"
    room = MAX_UID_LENGTH - len(root) - 1
    return f"{root}.{(number[:room].lstrip('0') or '0')}"
