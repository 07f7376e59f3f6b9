"""Fetching from nodes and importing from a folder."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

from appliance.core.documents import suggest
from appliance.core.errors import StoreError
from appliance.doors.fetch import Fetcher, FetchProgress, FetchReport
from appliance.doors.folder import FolderImport
from appliance.doors.options import After, FetchOptions, ImportOptions, PollRule
from appliance.doors.polling import Poller
from appliance.service import Stop
from appliance.settings.doors import FetchRule
from appliance.wiring.depot import depot
from appliance.wiring.nodes import client_of
from appliance.wiring.site import Site
from results_store.fetches import Fetch, Way
from scp.contexts import STORAGE_CLASSES, STORED

__all__ = ["Fetch", "FetchProgress", "FetchReport", "fetcher", "inward", "source_node", "turn"]

_USUAL = 60  # SOP Classes that are offered to a node that does not say what it has

_LOOK_AT_FOLDER = timedelta(seconds=1)

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


Steps = tuple[tuple[Callable[[], object], timedelta], ...]


def inward(site: Site, stop: Stop) -> Steps:
    """Return what to call for each door that we open ourselves, and how often."""
    pollers = tuple(
        (_poller(site, rule, f"rule {number}", stop).step, rule.every)
        for number, rule in enumerate(site.settings.fetch, 1)
    )
    return (*pollers, *_imports(site, stop))


def _imports(site: Site, stop: Stop) -> Steps:
    imports = site.settings.imports
    if imports is None:
        return ()
    options = ImportOptions(
        folder=imports.folder,
        settle=imports.settle,
        after=After(imports.after),
        refusals=site.settings.appliance.data_dir / "set-aside",
        ae_title=site.settings.appliance.ae_title,
    )
    is_stopping = stop.requested.is_set
    step = FolderImport(options, depot(site), site.store.imports, site.clock, is_stopping).step
    return ((step, max(imports.settle / 2, _LOOK_AT_FOLDER)),)


def _poller(site: Site, rule: FetchRule, name: str, stop: Stop) -> Poller:
    def wait(time: timedelta) -> bool:
        return stop.requested.wait(time.total_seconds())

    return Poller(
        PollRule(
            name=name,
            node=rule.node,
            days=rule.match.days,
            at_most=rule.at_most,
            modality=rule.match.modality or "",
            study_description=rule.match.study_description or "",
        ),
        client_of(site.settings, rule.node),
        fetcher(site, rule.node, wait, pause=rule.pause, images_per_second=rule.images_per_second),
        site.store.fetches,
        site.clock,
        ZoneInfo(site.settings.appliance.time_zone),
        partial(turn_if_free, site.folders.run, rule.node),
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
def turn(run_folder: Path, node: str, tell: Callable[[], None]) -> Iterator[None]:
    """Hold the node's turn: one process at a time retrieves from it. Waits, and tells that."""
    with turn_if_free(run_folder, node) as is_ours:
        if is_ours:
            yield
            return
    tell()
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
