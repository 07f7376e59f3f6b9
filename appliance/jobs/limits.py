"""What one run may take: time, memory, processes; and whether it still does anything."""

from collections.abc import Callable

from appliance.core.clock import Clock
from appliance.core.errors import TransientPipelineError
from appliance.jobs.options import PipelineOptions
from appliance.jobs.process import ChildProcess, Usage

_WEIGH = 0.25  # seconds between two looks at what the child has taken
_MEASURE = 2.0  # seconds between two looks at what it has written
_IDLE = 0.01  # of one core: what waits for ever may still wake up now and then


class Stopped(Exception):
    """Whoever asked for the run does not want it any more."""


class OverLimit(TransientPipelineError):
    """The run took too long or too much."""


class Watch:
    """The limits of one run, and the most memory that it was seen to hold."""

    def __init__(
        self, options: PipelineOptions, clock: Clock, cancelled: Callable[[], bool]
    ) -> None:
        now = clock.monotonic()
        self.peak = 0  # bytes
        self._options = options
        self._clock = clock
        self._cancelled = cancelled
        self._deadline = now + options.timeout.total_seconds()
        self._weighed = self._measured = now
        self._active, self._cpu = now, 0.0  # when it last did something; its CPU time then

    def check(self, child: ChildProcess) -> None:
        """Raise Stopped or OverLimit where the run must not go on."""
        now = self._clock.monotonic()
        if self._cancelled():
            raise Stopped
        if now >= self._deadline:
            limit = self._options.timeout.total_seconds()
            raise OverLimit(f"{self._options.name} took longer than its limit of {limit:g} s")
        if now - self._weighed >= _WEIGH:
            self._weighed = now
            self._weigh(child, self.look(child), now)
        if now - self._measured >= _MEASURE:
            self._measured = now
            self._measure(child)

    def look(self, child: ChildProcess) -> Usage:
        """Return what the child has taken until now, and remember the most."""
        usage = child.usage()
        self.peak = max(self.peak, usage.resident)
        return usage

    def heard(self) -> None:
        """The child told of progress."""
        self._active = self._clock.monotonic()

    def _measure(self, child: ChildProcess) -> None:
        written = child.room.written()
        if written > self._options.disk:
            raise OverLimit(
                f"{self._options.name} wrote {written >> 20} MiB, more than its limit of "
                f"{self._options.disk >> 20} MiB"
            )

    def _weigh(self, child: ChildProcess, usage: Usage, now: float) -> None:
        name, options = self._options.name, self._options
        # The quick count has shared pages in it more than once: it is enough while it is low.
        if (
            usage.resident > options.memory
            and (held := child.proportional_bytes()) > options.memory
        ):
            raise OverLimit(
                f"{name} took {held >> 20} MiB of memory, more than its limit of "
                f"{options.memory >> 20} MiB"
            )
        if usage.processes > options.processes:
            raise OverLimit(
                f"{name} started {usage.processes} processes, more than its limit of "
                f"{options.processes}"
            )
        longest = options.hang.total_seconds()
        if usage.is_runnable or usage.cpu - self._cpu >= _IDLE * longest:
            self._active, self._cpu = now, usage.cpu
        if now - self._active >= longest:
            raise OverLimit(
                f"{name} hung: no progress and no CPU time used for {longest:g} s, its limit"
            )
