"""Fetching from nodes and importing from a folder."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from pathlib import Path

from appliance.core.documents import suggest
from appliance.core.errors import StoreError
from appliance.doors.fetch import Fetcher, FetchProgress, FetchReport
from appliance.doors.options import FetchOptions
from appliance.wiring.depot import depot
from appliance.wiring.nodes import client_of
from appliance.wiring.site import Site
from results_store.fetches import Way
from scp.contexts import STORAGE_CLASSES, STORED

__all__ = ["FetchProgress", "FetchReport", "fetcher", "source_node", "turn"]

_USUAL = 60  # SOP Classes that are offered to a node that does not say what it has

Wait = Callable[[timedelta], bool]


def fetcher(
    site: Site,
    node: str,
    wait: Wait,
    *,
    pause: timedelta = timedelta(0),
    images_per_second: float | None = None,
) -> Fetcher:
    """Return what fetches from the destination `node`, which the settings have."""
    destination = site.settings.destinations[node]
    options = FetchOptions(
        node=node,
        way=Way(destination.retrieve),
        node_ae_title=destination.ae_title,
        node_host=destination.address.host,
        ae_title=site.settings.appliance.ae_title,
        transfer_syntaxes=STORED,
        usual_sop_classes=tuple(islice(STORAGE_CLASSES, _USUAL)),
        pause=pause,
        images_per_second=images_per_second,
    )
    return Fetcher(
        options,
        client_of(site.settings, node),
        site.store.fetches,
        depot(site),
        site.wakeup,
        site.clock,
        wait,
    )


def source_node(site: Site, name: str | None) -> str:
    """Return the destination to fetch from: `name`, or the only one. Raises StoreError."""
    names = list(site.settings.destinations)
    if name is None:
        if len(names) == 1:
            return names[0]
        listed = f"one of {', '.join(names)}" if names else "one; the settings have none"
        raise StoreError(f"say with --from which destination to fetch from: {listed}")
    if name not in names:
        raise StoreError(f"there is no destination {name!r}{suggest(name, names)}")
    return name


@contextmanager
def turn(run_folder: Path, node: str) -> Iterator[None]:
    """Hold the node's turn: one process at a time retrieves from it. Waits for it."""
    with _open_lock(run_folder, node) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


@contextmanager
def turn_if_free(run_folder: Path, node: str) -> Iterator[bool]:
    """Hold the node's turn, and yield whether we have it."""
    with _open_lock(run_folder, node) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


@contextmanager
def _open_lock(run_folder: Path, node: str) -> Iterator[int]:
    descriptor = os.open(run_folder / f"fetch-{node}.lock", os.O_RDWR | os.O_CREAT, 0o640)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
