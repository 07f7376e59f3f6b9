"""A message must come at some pace: who sends a byte a second holds a place that others need."""

from appliance.core.clock import Clock

LEAST_RATE = 1000
"""Bytes a second, on average over a timeout; a modem of 1995 does three times that."""


class Pace:
    """Watches one association; `window` in seconds."""

    def __init__(self, clock: Clock, window: float) -> None:
        self._clock = clock
        self._window = window
        self._since: float | None = None  # None: between messages
        self._size = 0

    def begin(self) -> None:
        """A message begins."""
        self._since = self._clock.monotonic()
        self._size = 0

    def pause(self) -> None:
        """The message is over; until the next one the timeout of reading counts."""
        self._since = None

    def is_too_slow(self, size: int) -> bool:
        """Count bytes that came; return whether there were too few in a whole window."""
        if self._since is None:
            return False
        self._size += size
        now = self._clock.monotonic()
        if now - self._since < self._window:
            return False
        is_slow = self._size < LEAST_RATE * self._window
        self._since, self._size = now, 0
        return is_slow
