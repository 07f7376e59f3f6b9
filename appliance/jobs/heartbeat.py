"""Keeps a job's lease alive while it runs, tells how far it is, and hears when it is lost."""

import threading
from typing import Self

from appliance.core.clock import Clock
from appliance.core.errors import StoreError
from appliance.core.model import Claim
from appliance.jobs.options import WorkerOptions
from results_store.jobs import Jobs


class Heartbeat(threading.Thread):
    """A thread for the time of one attempt. Lost means: nobody wants this attempt any more."""

    def __init__(self, jobs: Jobs, claim: Claim, options: WorkerOptions, clock: Clock) -> None:
        super().__init__(name=f"heartbeat-{claim.job_id}", daemon=True)
        self._jobs = jobs
        self._claim = claim
        self._options = options
        self._clock = clock
        self._progress: tuple[float, str] = (0.0, "")
        self._held = clock.monotonic()
        self._over = threading.Event()
        self._lost = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()

    @property
    def is_lost(self) -> bool:
        """Return whether the job was cancelled, or its lease given to somebody else."""
        return self._lost.is_set()

    def tell(self, progress: float, phase: str) -> None:
        """Say how far the attempt is; written at the next beat."""
        self._progress = (progress, phase)

    def run(self) -> None:
        """Beat until the attempt is over or lost."""
        try:
            while not self._over.wait(self._options.heartbeat.total_seconds()):
                if not self._beat():
                    return
        finally:
            # Also where this thread dies of something: without it the lease runs out.
            if not self._over.is_set():
                self._lost.set()

    def _beat(self) -> bool:
        progress, phase = self._progress
        lease, began = self._options.lease, self._clock.monotonic()
        try:
            held = self._jobs.heartbeat(self._claim, lease, progress, phase, self._clock.now())
        except StoreError:
            # The database may be back before the lease is over.
            return began - self._held < lease.total_seconds()
        self._held = began
        return held
