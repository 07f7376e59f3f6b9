"""PatientID as a keyed hash: the same patient is found again, and nobody can read who it is."""

import hashlib
import hmac

# What modalities and scripts write where they know no patient. Compared without case.
_PLACEHOLDERS = frozenset(
    {"0", "unknown", "anonymous", "anonymized", "anon", "none", "null", "n/a", "na", "test", "?"}
)
_LONGEST = 64  # LO; a longer value is cut, not trusted


def patient_key(key: bytes, patient_id: str, issuer: str) -> str | None:
    """Return HMAC-SHA256 of issuer and PatientID in hex; None for an empty or placeholder ID."""
    identity = patient_id.strip(" \0")[:_LONGEST]
    if not identity or identity.casefold() in _PLACEHOLDERS or not identity.strip("0-. "):
        return None
    message = "\x1f".join((issuer.strip(" \0")[:_LONGEST], identity))
    return hmac.new(key, message.encode(), hashlib.sha256).hexdigest()


def person_key(key: bytes, name: str, birth_date: str, sex: str) -> str | None:
    """Return HMAC-SHA256 of who the patient is, in hex; None where nothing of it is said.

    A name in other letters' case, or with empty components at its end, is the same name.
    """
    said = (name.casefold().rstrip("^ ="), birth_date.strip(), sex.strip().casefold())
    if not any(said):
        return None
    message = "\x1f".join(("person", *said))
    return hmac.new(key, message.encode("utf-8", "replace"), hashlib.sha256).hexdigest()
