"""Slows down guessing of passwords: a few wrong ones close the door for a while."""

import threading
from collections import OrderedDict, deque
from datetime import timedelta

from appliance.core.clock import Clock

REMEMBERED = 10_000  # names and addresses; the oldest are forgotten first


class Throttle:
    """Counts failures by name and by address within a window of time."""

    def __init__(self, clock: Clock, *, allowed: int, window: timedelta) -> None:
        self._clock = clock
        self._allowed = allowed
        self._window = window.total_seconds()
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, *keys: str) -> int:
        """Return the seconds until one of `keys` may try again; 0 for at once."""
        with self._lock:
            return max((self._wait(key) for key in keys), default=0)

    def failed(self, *keys: str) -> None:
        """Remember a failure under each of `keys`."""
        with self._lock:
            for key in keys:
                self._failures.setdefault(key, deque(maxlen=self._allowed)).append(
                    self._clock.monotonic()
                )
                self._failures.move_to_end(key)
            while len(self._failures) > REMEMBERED:
                self._failures.popitem(last=False)

    def succeeded(self, key: str) -> None:
        """Forget the failures under `key`."""
        with self._lock:
            self._failures.pop(key, None)

    def _wait(self, key: str) -> int:
        times = self._failures.get(key)
        if times is None or len(times) < self._allowed:
            return 0
        left = times[0] + self._window - self._clock.monotonic()
        return max(0, int(left) + 1) if left > 0 else 0
