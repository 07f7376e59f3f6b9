"""Refusals told once when they begin, then summed up: a peer that never stops fills no log.

Counting is the tally's; here is only what the log says. Each kind is one peer, one event and one
reason. The first of a kind is told at once; those that follow are told together, at most once
within `every`, with their number and the time of the last. A kind that stays away so long is
forgotten: when it comes again, it begins again.
"""

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from appliance.core.clock import Clock
from appliance.core.log import Event, log_event

EVERY = 60.0  # seconds
_MOST_KINDS = 512  # names are the peers' to choose; those above are told as one peer
_OTHERS = "(others)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What is told together."""

    event: Event
    reason: str
    calling_ae_title: str
    peer_address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What came of a kind since it was last told of."""

    kind: Kind
    count: int
    last: datetime


@dataclass(slots=True)
class _Since:
    told_at: float  # of the monotonic clock
    count: int
    last: datetime


class Limiter:
    """Says what is to be told, and when. Safe in several threads."""

    def __init__(self, clock: Clock, *, every: float = EVERY, most: int = _MOST_KINDS) -> None:
        self._clock = clock
        self._every = every
        self._most = most
        self._guard = threading.Lock()
        self._kinds: dict[Kind, _Since] = {}

    def begins(self, kind: Kind) -> Kind | None:
        """Count one of the kind. Return what it is to be told as, or None: it is told later."""
        with self._guard:
            if kind not in self._kinds and len(self._kinds) >= self._most:
                kind = Kind(
                    event=kind.event,
                    reason=kind.reason,
                    calling_ae_title=_OTHERS,
                    peer_address=_OTHERS,
                )
            since = self._kinds.get(kind)
            if since is None:
                now = self._clock.now()
                self._kinds[kind] = _Since(self._clock.monotonic(), 0, now)
                return kind
            since.count += 1
            since.last = self._clock.now()
            return None

    def due(self) -> tuple[Summary, ...]:
        """Return the kinds that are to be told of again; forget those that stayed away."""
        return self._take(self._clock.monotonic() - self._every)

    def rest(self) -> tuple[Summary, ...]:
        """Return everything that was not told yet, at the end."""
        return self._take(self._clock.monotonic())

    def _take(self, told_before: float) -> tuple[Summary, ...]:
        summaries = []
        with self._guard:
            for kind, since in list(self._kinds.items()):
                if since.told_at > told_before:
                    continue
                if since.count:
                    summaries.append(Summary(kind=kind, count=since.count, last=since.last))
                    since.told_at, since.count = self._clock.monotonic(), 0
                else:
                    del self._kinds[kind]
        return tuple(summaries)


class RefusalLog:
    """The log of refusals of this process. `flush` is to be called every second or so."""

    def __init__(self, clock: Clock) -> None:
        self._limiter = Limiter(clock)

    def tell(
        self,
        event: Event,
        reason: str,
        *,
        calling_ae_title: str,
        peer_address: str,
        **fields: object,
    ) -> None:
        """Log a refusal, or count it for the next summary."""
        kind = self._limiter.begins(
            Kind(
                event=event,
                reason=reason,
                calling_ae_title=calling_ae_title,
                peer_address=peer_address,
            )
        )
        if kind is not None:
            log_event(event, level=logging.WARNING, **_who(kind), **fields)

    def flush(self) -> None:
        """Log the summaries that are due."""
        self._log(self._limiter.due())

    def close(self) -> None:
        """Log what was not told yet."""
        self._log(self._limiter.rest())

    def _log(self, summaries: tuple[Summary, ...]) -> None:
        for one in summaries:
            fields = {**_who(one.kind), "count": one.count, "last": one.last.isoformat()}
            log_event(one.kind.event, level=logging.WARNING, **fields)


def _who(kind: Kind) -> Mapping[str, object]:
    return {
        "reason": kind.reason,
        "calling_ae_title": kind.calling_ae_title,
        "peer_address": kind.peer_address,
    }
