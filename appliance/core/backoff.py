"""From the number of failed attempts to the next delay, or to giving up."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Exponential delays: `first`, doubled each time, never above `longest`."""

    first: timedelta
    longest: timedelta
    attempts: int

    def delay_after(self, failed_attempts: int) -> timedelta | None:
        """Return how long to wait after `failed_attempts` (1, 2, …), or None to give up."""
        if failed_attempts >= self.attempts:
            return None
        exponent = min(failed_attempts - 1, 30)
        return min(self.first * (1 << exponent), self.longest)
