"""What the answer to a C-STORE means. PS3.4 table B.2-1, PS3.7 annex C."""

from dataclasses import dataclass
from enum import StrEnum

NO_ANSWER = -1  # the association ended before the answer
NOT_NEGOTIATED = 0x0122


class Verdict(StrEnum):
    """What follows from an answer."""

    ACCEPTED = "accepted"
    RETRY = "retry"  # not taken; sending it again later may help
    REFUSED = "refused"  # not taken, and it will not be


@dataclass(frozen=True, slots=True)
class StoreMeaning:
    """A range of statuses, what follows from it, and what to tell people."""

    first: int
    last: int
    verdict: Verdict
    text: str


STORE_MEANINGS: tuple[StoreMeaning, ...] = (
    StoreMeaning(0x0000, 0x0000, Verdict.ACCEPTED, "stored"),
    StoreMeaning(0x0001, 0x0001, Verdict.ACCEPTED, "stored, with a warning"),
    StoreMeaning(0x0107, 0x0107, Verdict.ACCEPTED, "stored, with a warning about an attribute"),
    StoreMeaning(0x0110, 0x0110, Verdict.RETRY, "it failed to process the instance"),
    StoreMeaning(0x0111, 0x0111, Verdict.ACCEPTED, "it holds this instance already"),
    StoreMeaning(0x0116, 0x0116, Verdict.ACCEPTED, "stored, with a warning about a value"),
    StoreMeaning(0x0117, 0x0117, Verdict.REFUSED, "it finds the SOP Instance UID invalid"),
    StoreMeaning(0x0122, 0x0122, Verdict.REFUSED, "it does not take this SOP class or syntax"),
    StoreMeaning(0x0124, 0x0124, Verdict.REFUSED, "we are not authorised"),
    StoreMeaning(0x0210, 0x0210, Verdict.RETRY, "it saw the message before"),
    StoreMeaning(0x0211, 0x0212, Verdict.REFUSED, "it does not know the operation"),
    StoreMeaning(0x0213, 0x0213, Verdict.RETRY, "it is at a limit of its resources"),
    StoreMeaning(0xA700, 0xA7FF, Verdict.RETRY, "it is out of resources"),
    StoreMeaning(0xA900, 0xA9FF, Verdict.REFUSED, "it finds that data set and SOP class differ"),
    StoreMeaning(0xB000, 0xB000, Verdict.ACCEPTED, "stored, with elements coerced"),
    StoreMeaning(0xB006, 0xB006, Verdict.ACCEPTED, "stored, with elements discarded"),
    StoreMeaning(0xB007, 0xB007, Verdict.ACCEPTED, "stored, though it differs from its SOP class"),
    StoreMeaning(0xC000, 0xCFFF, Verdict.REFUSED, "it cannot understand the data set"),
    StoreMeaning(NO_ANSWER, NO_ANSWER, Verdict.RETRY, "the association ended without an answer"),
)
_UNKNOWN = StoreMeaning(0, 0xFFFF, Verdict.RETRY, "an answer that the standard does not know")


def meaning_of(status: int) -> StoreMeaning:
    """Return the row for a status; an unknown one is worth another attempt."""
    for row in STORE_MEANINGS:
        if row.first <= status <= row.last:
            return row
    return _UNKNOWN
