"""When the sweeps run."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.background import BackgroundScheduler


def build_scheduler(
    sweep: Callable[[], None], every: timedelta, first: datetime
) -> BackgroundScheduler:
    """Return a scheduler, not yet started, that calls `sweep` at `first` and then `every` so often.

    The caller starts it and, at the end, calls `shutdown`.
    """
    scheduler = BackgroundScheduler(timezone=UTC)
    run_every(scheduler, sweep, every, first)
    return scheduler


def run_every(
    scheduler: BackgroundScheduler, step: Callable[[], object], every: timedelta, first: datetime
) -> None:
    """Let the scheduler call `step` at `first` and then `every` so often.

    One that is late runs once, not once for each time that was missed; two never run at the
    same time.
    """
    scheduler.add_job(
        step,
        "interval",
        seconds=every.total_seconds(),
        next_run_time=first,
        coalesce=True,
        max_instances=1,
        misfire_grace_time=None,
    )
