"""When sweeps run."""

import threading
from datetime import timedelta

from appliance.core.clock import SystemClock
from feedback.drift_schedule import build_scheduler


def test_the_scheduler_runs_the_first_sweep_at_once_and_then_again() -> None:
    swept = threading.Semaphore(0)
    scheduler = build_scheduler(swept.release, timedelta(milliseconds=50), SystemClock().now())
    scheduler.start()
    try:
        assert swept.acquire(timeout=10)
        assert swept.acquire(timeout=10)
    finally:
        scheduler.shutdown()
