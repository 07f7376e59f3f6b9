"""What `check` and `status` say beyond the settings' own rules. Reads; changes nothing."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from appliance.core.clock import SystemClock
from appliance.core.errors import PeerError, StoreError
from appliance.core.model import Delivery, Job
from appliance.core.quantities import format_size
from appliance.core.states import DeliveryState, JobState
from appliance.settings.model import Settings
from appliance.wiring.nodes import client_of
from results_store.options import StoreOptions, parse_url, sqlite_file
from results_store.store import Store, open_store
from scp.spool import Spool

_NEWEST = 1000


def warnings(settings: Settings) -> list[str]:
    """Return a sentence for everything that works but that a sysadmin should know."""
    found = []
    if not _can_be_made(settings.appliance.data_dir):
        found.append(f"{settings.appliance.data_dir}: this user cannot write there")
    if not settings.routes:
        found.append("no routes: images are received and kept, nothing runs")
    if not settings.receiver.peers and not settings.receiver.accept_unknown_peers:
        found.append("no peers: every association will be rejected")
    if settings.receiver.accept_unknown_peers:
        found.append("accept_unknown_peers: everybody who reaches the port can send")
    found += [
        f"route {route.name!r} is a shadow: its results stay here"
        for route in settings.routes
        if route.send is None
    ]
    found += [
        f"destination {name!r} does not prove that it has a result (verify: none)"
        for name, destination in settings.destinations.items()
        if destination.verify == "none"
    ]
    return found


def _can_be_made(folder: Path) -> bool:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def unreachable(settings: Settings) -> list[str]:
    """Return a sentence for every destination that does not answer a C-ECHO."""
    found = []
    for name in settings.destinations:
        try:
            client_of(settings, name).echo()
        except PeerError as error:
            found.append(str(error))
    return found


def stranded(settings: Settings, store: Store) -> list[str]:
    """Return a sentence for what waits for a destination or pipeline that the settings lack."""
    deliveries, jobs = store.deliveries.under_way(), store.jobs.unfinished()
    return [
        *(
            f"{count} deliveries wait for destination {name!r}, which the settings do not have; "
            "put it back, or end them with `appliance deliveries cancel`"
            for name, count in deliveries.items()
            if name not in settings.destinations
        ),
        *(
            f"{count} jobs wait for pipeline {name!r}, which the settings do not have; "
            "put it back, or end them with `appliance jobs cancel`"
            for name, count in jobs.items()
            if name not in settings.pipelines
        ),
    ]


def stranded_so_far(settings: Settings) -> list[str]:
    """Return what `stranded` says of the store, if there is one yet; make and change none."""
    options = StoreOptions(url=settings.store_url)
    file = sqlite_file(parse_url(options.url))
    if file is not None and not file.exists():
        return []
    try:
        with closing(open_store(options, SystemClock())) as store:
            return stranded(settings, store)
    except StoreError as error:
        return [f"the store was not looked at: {error}"]


def overview(settings: Settings, store: Store, spool: Spool, now: datetime) -> dict[str, object]:
    """Return what is running, waiting, held and failed, by counts of the newest 1000 each."""
    jobs = store.jobs.list(limit=_NEWEST)
    deliveries = store.deliveries.list(limit=_NEWEST)
    return {
        "now": now.isoformat(timespec="seconds"),
        "disk_free": format_size(spool.free_bytes()),
        "not_yet_indexed": len(spool.new_entries()),
        "quarantined": len(spool.quarantined()),
        "open_studies": len(store.studies.dirty()),
        "jobs": _counts(job.state for job in jobs),
        "deliveries": _counts(delivery.state for delivery in deliveries),
        "paused": sorted(f"{kind} {name}" for kind, name in store.controls.paused()),
        "stranded": stranded(settings, store),
        "last_problems": [*_job_problems(jobs), *_delivery_problems(deliveries)],
    }


def _counts(states: Iterable[StrEnum]) -> dict[str, int]:
    return {state.value: count for state, count in Counter(states).items()}


def _job_problems(jobs: Sequence[Job]) -> list[str]:
    return [f"job {j.job_id}: {j.reason}" for j in jobs if j.state is JobState.FAILED][:5]


def _delivery_problems(deliveries: Sequence[Delivery]) -> list[str]:
    bad = (DeliveryState.FAILED, DeliveryState.HELD)
    return [f"delivery {d.delivery_id}: {d.reason}" for d in deliveries if d.state in bad][:5]
