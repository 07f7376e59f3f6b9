"""Every state machine of the appliance, as tables.

The store moves a row by compare-and-set along these tables and by nothing else;
`docs/JOB_STATES.md` is drawn from them.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from appliance.core.errors import IllegalTransition


class JobState(StrEnum):
    """Where a run of a pipeline is."""

    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"  # an attempt failed; waits for its backoff
    DONE = "done"
    REFUSED = "refused"  # the pipeline says that it was not made for this input
    FAILED = "failed"
    CANCELLED = "cancelled"


class JobEvent(StrEnum):
    """What can happen to a run."""

    CLAIM = "claim"
    COMPLETE = "complete"
    FAIL_TRANSIENT = "fail-transient"
    LEASE_EXPIRED = "lease-expired"
    EXHAUST = "exhaust"  # the last allowed attempt failed
    FAIL_PERMANENT = "fail-permanent"
    REFUSE = "refuse"
    RELEASE = "release"  # the worker stops; the attempt does not count
    RETRY = "retry"  # a person asks again for the same run
    CANCEL = "cancel"


JOB_TRANSITIONS: Mapping[tuple[JobState, JobEvent], JobState] = {
    (JobState.QUEUED, JobEvent.CLAIM): JobState.RUNNING,
    (JobState.QUEUED, JobEvent.CANCEL): JobState.CANCELLED,
    (JobState.RETRYING, JobEvent.CLAIM): JobState.RUNNING,
    (JobState.RETRYING, JobEvent.CANCEL): JobState.CANCELLED,
    (JobState.RUNNING, JobEvent.COMPLETE): JobState.DONE,
    (JobState.RUNNING, JobEvent.FAIL_TRANSIENT): JobState.RETRYING,
    (JobState.RUNNING, JobEvent.LEASE_EXPIRED): JobState.RETRYING,
    (JobState.RUNNING, JobEvent.EXHAUST): JobState.FAILED,
    (JobState.RUNNING, JobEvent.FAIL_PERMANENT): JobState.FAILED,
    (JobState.RUNNING, JobEvent.REFUSE): JobState.REFUSED,
    (JobState.RUNNING, JobEvent.RELEASE): JobState.QUEUED,
    (JobState.RUNNING, JobEvent.CANCEL): JobState.CANCELLED,
    (JobState.FAILED, JobEvent.RETRY): JobState.QUEUED,
}


class DeliveryState(StrEnum):
    """Where one result object on its way to one destination is."""

    PENDING = "pending"  # also between attempts
    SENDING = "sending"
    SENT = "sent"  # the destination said success; not yet proven
    DELIVERED = "delivered"  # the destination proved that it holds the object
    HELD = "held"  # a person has to look, for instance at a changed identity
    FAILED = "failed"
    CANCELLED = "cancelled"


class DeliveryEvent(StrEnum):
    """What can happen to a delivery."""

    CLAIM = "claim"
    ACCEPTED = "accepted"
    PROVEN = "proven"
    MISSING = "missing"  # asked for proof, the destination does not hold it
    FAIL_TRANSIENT = "fail-transient"
    LEASE_EXPIRED = "lease-expired"
    FAIL_PERMANENT = "fail-permanent"
    HOLD = "hold"
    RESEND = "resend"
    CANCEL = "cancel"


DELIVERY_TRANSITIONS: Mapping[tuple[DeliveryState, DeliveryEvent], DeliveryState] = {
    (DeliveryState.PENDING, DeliveryEvent.CLAIM): DeliveryState.SENDING,
    (DeliveryState.PENDING, DeliveryEvent.CANCEL): DeliveryState.CANCELLED,
    (DeliveryState.SENDING, DeliveryEvent.ACCEPTED): DeliveryState.SENT,
    (DeliveryState.SENDING, DeliveryEvent.FAIL_TRANSIENT): DeliveryState.PENDING,
    (DeliveryState.SENDING, DeliveryEvent.LEASE_EXPIRED): DeliveryState.PENDING,
    (DeliveryState.SENDING, DeliveryEvent.FAIL_PERMANENT): DeliveryState.FAILED,
    (DeliveryState.SENDING, DeliveryEvent.HOLD): DeliveryState.HELD,
    (DeliveryState.SENT, DeliveryEvent.PROVEN): DeliveryState.DELIVERED,
    (DeliveryState.SENT, DeliveryEvent.MISSING): DeliveryState.PENDING,
    (DeliveryState.SENT, DeliveryEvent.FAIL_PERMANENT): DeliveryState.FAILED,
    (DeliveryState.SENT, DeliveryEvent.RESEND): DeliveryState.PENDING,
    (DeliveryState.HELD, DeliveryEvent.RESEND): DeliveryState.PENDING,
    (DeliveryState.HELD, DeliveryEvent.CANCEL): DeliveryState.CANCELLED,
    (DeliveryState.FAILED, DeliveryEvent.RESEND): DeliveryState.PENDING,
    (DeliveryState.DELIVERED, DeliveryEvent.RESEND): DeliveryState.PENDING,
}


class RouteState(StrEnum):
    """Where one route stands for one study."""

    OPEN = "open"  # images may still come
    CLOSED = "closed"  # the decision is made and frozen
    HELD = "held"  # something required is missing; a person has to look


class RouteEvent(StrEnum):
    """What can happen to a route of a study."""

    CLOSE = "close"
    HOLD = "hold"
    IMAGE = "image"  # an image of a held route's study arrives
    NEWS = "news"  # a held route's study: a step ended, an archive counts as many as are here
    RELEASE = "release"  # a person lets a held route go on with what is here
    REOPEN = "reopen"  # an image arrives after the route closed without a job
    LATE = "late"  # one arrives after its jobs were queued, and the route runs again for it


ROUTE_TRANSITIONS: Mapping[tuple[RouteState, RouteEvent], RouteState] = {
    (RouteState.OPEN, RouteEvent.CLOSE): RouteState.CLOSED,
    (RouteState.OPEN, RouteEvent.HOLD): RouteState.HELD,
    (RouteState.HELD, RouteEvent.IMAGE): RouteState.OPEN,
    (RouteState.HELD, RouteEvent.NEWS): RouteState.OPEN,
    (RouteState.HELD, RouteEvent.RELEASE): RouteState.OPEN,
    # Only where the decision started no job; what ran stays as it was decided.
    (RouteState.CLOSED, RouteEvent.REOPEN): RouteState.OPEN,
    # Only where the settings say `late: rerun`; what ran before is superseded.
    (RouteState.CLOSED, RouteEvent.LATE): RouteState.OPEN,
}

S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


def next_state(table: Mapping[tuple[S, E], S], state: S, event: E) -> S:
    """Return the state after `event`. Raises IllegalTransition."""
    try:
        return table[(state, event)]
    except KeyError:
        raise IllegalTransition(f"{event} is not allowed in state {state}") from None


def terminal(table: Mapping[tuple[S, E], S], states: type[S]) -> frozenset[S]:
    """Return the states that no event leaves."""
    return frozenset(s for s in states if not any(start == s for start, _ in table))


def as_mermaid(table: Mapping[tuple[S, E], S]) -> str:
    """Return the table as a Mermaid state diagram."""
    lines = [f"    {a.value} --> {b.value}: {event.value}" for (a, event), b in table.items()]
    return "\n".join(["stateDiagram-v2", *lines])
