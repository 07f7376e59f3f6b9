"""What the answers to a C-STORE mean for us (PS3.4 B.2.3, PS3.7 annex C)."""

from dataclasses import dataclass

NO_ANSWER = -1
NO_CONTEXT = -2

# Codes of their own first, then ranges by the upper byte.
_EXACT = {
    0x0000: (True, False, "stored"),
    0x0122: (False, False, "SOP class not supported"),
    0x0124: (False, False, "not authorised"),
    0x0117: (False, False, "invalid SOP instance"),
    0x0111: (True, False, "has this instance already"),
    0x0110: (False, True, "processing failure"),
    0x0213: (False, True, "resource limitation"),
    NO_ANSWER: (False, True, "no answer in time"),
    NO_CONTEXT: (False, False, "accepts no presentation context for this object"),
}
_RANGES = {
    0xA7: (False, True, "out of resources"),
    0xA9: (False, False, "data set does not match its SOP class"),
    0xB0: (True, False, "stored with a warning"),
    0xC0: (False, False, "cannot understand the data set"),
}
_UNKNOWN = (False, True, "unknown status")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOutcome:
    """A peer's answer to one instance. `retry`: the same may be accepted later."""

    status: int
    accepted: bool
    retry: bool
    comment: str


def outcome(status: int, comment: str = "") -> StoreOutcome:
    """Return what `status` means; `comment` is the peer's (0000,0902), if it gave one."""
    family = status >> 8 if status >> 8 in _RANGES else status >> 12 << 4
    accepted, retry, meaning = _EXACT.get(status) or _RANGES.get(family, _UNKNOWN)
    text = f"{status:04X}H {meaning}" if status >= 0 else meaning
    return StoreOutcome(
        status=status,
        accepted=accepted,
        retry=retry,
        comment=f"{text}: {comment}" if comment else text,
    )
