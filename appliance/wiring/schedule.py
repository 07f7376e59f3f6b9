"""What happens by the clock: drift sweeps, deletion of old images, fetching and importing."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from apscheduler.schedulers.background import BackgroundScheduler

from appliance.core.ports import Role
from appliance.service import Service, Stop
from appliance.wiring.certificates import log_expiring
from appliance.wiring.doors import inward
from appliance.wiring.intake import retention
from appliance.wiring.site import Site
from feedback.drift_schedule import build_scheduler, run_every
from feedback.drift_sweep import DriftOptions, DriftSweep

_IDLE = timedelta(seconds=1)
_CERTIFICATES_EVERY = timedelta(days=1)
_RETENTION_EVERY = timedelta(minutes=1)  # also how fast a full disk is answered


def build(site: Site, stop: Stop) -> Service:
    """Return the role; its clock runs."""
    scheduler = schedule(site, stop)
    scheduler.start()
    return Service(role=Role.SCHEDULE, step=lambda: _IDLE, close=scheduler.shutdown)


def drift_options(site: Site) -> DriftOptions:
    """Return when an unusual number becomes an alert."""
    drift = site.settings.drift
    return DriftOptions(
        every=drift.every,
        window=drift.window,
        min_rows=drift.min_rows,
        psi=drift.psi,
        p_value=drift.p_value,
    )


def schedule(site: Site, stop: Stop) -> BackgroundScheduler:
    """Return the scheduler, not yet started."""
    options = drift_options(site)
    sweep = DriftSweep(options, site.store, site.settings.pipelines, site.clock)
    now = site.clock.now()
    scheduler = build_scheduler(sweep.run, options.every, now)
    jobs: tuple[tuple[Callable[[], object], timedelta], ...] = (
        (retention(site).step, _RETENTION_EVERY),
        (partial(log_expiring, site.settings, site.clock), _CERTIFICATES_EVERY),
        *inward(site, stop),
    )
    for step, every in jobs:
        run_every(scheduler, step, every, now)
    return scheduler
