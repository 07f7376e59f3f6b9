"""What answers mean. PS3.4 table B.2-1 and sections C.4.2.1.5, C.4.3.1.4; PS3.7 annex C."""

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
class Meaning:
    """A range of statuses, what follows from it, and what to tell people."""

    first: int
    last: int
    verdict: Verdict
    text: str


STORE_MEANINGS: tuple[Meaning, ...] = (
    Meaning(0x0000, 0x0000, Verdict.ACCEPTED, "stored"),
    Meaning(0x0001, 0x0001, Verdict.ACCEPTED, "stored, with a warning"),
    Meaning(0x0107, 0x0107, Verdict.ACCEPTED, "stored, with a warning about an attribute"),
    Meaning(0x0110, 0x0110, Verdict.RETRY, "it failed to process the instance"),
    Meaning(0x0111, 0x0111, Verdict.ACCEPTED, "it holds this instance already"),
    Meaning(0x0116, 0x0116, Verdict.ACCEPTED, "stored, with a warning about a value"),
    Meaning(0x0117, 0x0117, Verdict.REFUSED, "it finds the SOP Instance UID invalid"),
    Meaning(0x0122, 0x0122, Verdict.REFUSED, "it does not take this SOP class or syntax"),
    Meaning(0x0124, 0x0124, Verdict.REFUSED, "we are not authorised"),
    Meaning(0x0210, 0x0210, Verdict.RETRY, "it saw the message before"),
    Meaning(0x0211, 0x0212, Verdict.REFUSED, "it does not know the operation"),
    Meaning(0x0213, 0x0213, Verdict.RETRY, "it is at a limit of its resources"),
    Meaning(0xA700, 0xA7FF, Verdict.RETRY, "it is out of resources"),
    Meaning(0xA900, 0xA9FF, Verdict.REFUSED, "it finds that data set and SOP class differ"),
    Meaning(0xB000, 0xB000, Verdict.ACCEPTED, "stored, with elements coerced"),
    Meaning(0xB006, 0xB006, Verdict.ACCEPTED, "stored, with elements discarded"),
    Meaning(0xB007, 0xB007, Verdict.ACCEPTED, "stored, though it differs from its SOP class"),
    Meaning(0xC000, 0xCFFF, Verdict.REFUSED, "it cannot understand the data set"),
    Meaning(NO_ANSWER, NO_ANSWER, Verdict.RETRY, "the association ended without an answer"),
)
# `{ours}` is our AE title.
RETRIEVE_MEANINGS: tuple[Meaning, ...] = (
    Meaning(0x0000, 0x0000, Verdict.ACCEPTED, "all images were sent"),
    Meaning(0x0110, 0x0110, Verdict.RETRY, "it failed to process the request"),
    Meaning(0x0122, 0x0122, Verdict.REFUSED, "it does not offer this retrieve; see `retrieve`"),
    Meaning(0x0124, 0x0124, Verdict.REFUSED, "{ours} may not retrieve there: allow it"),
    Meaning(0x0210, 0x0210, Verdict.RETRY, "it saw the message before"),
    Meaning(0x0211, 0x0212, Verdict.REFUSED, "it does not know the operation; see `retrieve`"),
    Meaning(0x0213, 0x0213, Verdict.RETRY, "it is at a limit of its resources"),
    Meaning(0xA701, 0xA701, Verdict.RETRY, "it is out of resources, cannot count what matches"),
    Meaning(
        0xA702,
        0xA702,
        Verdict.RETRY,
        "it cannot send: does it know host and port of {ours}, and does our receiver let it in?",
    ),
    Meaning(0xA700, 0xA7FF, Verdict.RETRY, "it is out of resources"),
    Meaning(
        0xA801,
        0xA801,
        Verdict.REFUSED,
        "it does not know the move destination {ours}: enter it there, with our host and port",
    ),
    Meaning(0xA900, 0xA9FF, Verdict.REFUSED, "it finds that the request does not fit its model"),
    Meaning(0xB000, 0xB000, Verdict.RETRY, "some images could not be sent"),
    Meaning(0xC000, 0xCFFF, Verdict.RETRY, "it cannot process the request; its log says why"),
    Meaning(0xFE00, 0xFE00, Verdict.RETRY, "somebody there cancelled the retrieve"),
    Meaning(NO_ANSWER, NO_ANSWER, Verdict.RETRY, "the association ended without an answer"),
)
_UNKNOWN = Meaning(0, 0xFFFF, Verdict.RETRY, "an answer that the standard does not know")


def meaning_of(status: int, table: tuple[Meaning, ...] = STORE_MEANINGS) -> Meaning:
    """Return the first row for a status; an unknown one is worth another attempt."""
    for row in table:
        if row.first <= status <= row.last:
            return row
    return _UNKNOWN
