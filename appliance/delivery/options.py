"""What the delivery room wants to be told."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from appliance.core.backoff import Backoff

# Five minutes at the longest, for three days: an archive may be down over a weekend.
_SEND = Backoff(first=timedelta(seconds=5), longest=timedelta(minutes=5), attempts=870)
_PROVE = Backoff(first=timedelta(seconds=1), longest=timedelta(minutes=2), attempts=15)


class Verify(StrEnum):
    """How a destination proves that it holds what it accepted."""

    FIND = "find"  # C-FIND at IMAGE level
    NONE = "none"  # it can't: its success status is taken as proof


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationOptions:
    """One place that results go to."""

    name: str
    verify: Verify = Verify.FIND
    check_identity: bool = True  # compare the patient by C-FIND just before sending
    send: Backoff = _SEND


@dataclass(frozen=True, slots=True, kw_only=True)
class CourierOptions:
    """One courier process. `name` is another one for each process that ever runs."""

    name: str
    destinations: tuple[DestinationOptions, ...]
    results: Path  # the folder that the objects' paths are relative to
    lease: timedelta = timedelta(minutes=5)  # longer than any one sending takes
    poll: timedelta = timedelta(seconds=1)
    prove: Backoff = _PROVE
