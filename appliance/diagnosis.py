"""What `check` says beyond the settings' own rules. Reads; changes nothing."""

import os
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from appliance.core.clock import SystemClock
from appliance.core.errors import PeerError, StoreError
from appliance.core.quantities import format_duration
from appliance.settings.model import Settings
from appliance.wiring.catalogue import installed
from appliance.wiring.certificates import expiring
from appliance.wiring.lookout import stranded
from appliance.wiring.nodes import client_of
from appliance.wiring.releases import soon
from results_store.options import StoreOptions, parse_url, sqlite_file
from results_store.store import open_store
from scp.durability import PROMISES, Durability

_SOON = timedelta(days=30)  # in which a release or clearance ends


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
    if settings.receiver.durability is not Durability.INSTANCE:
        promise = PROMISES[settings.receiver.durability]
        found.append(f"durability: {settings.receiver.durability.value} is unsafe. {promise}")
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
    found += [
        f"peer {peer.ae_title}: a storage commitment lasts "
        f"{format_duration(settings.retention.committed)} here; make sure that the images "
        "are in an archive before it ends"
        for peer in settings.receiver.peers
        if peer.commitment
    ]
    found += _of_doors(settings)
    now = SystemClock().now()
    day = now.astimezone(ZoneInfo(settings.appliance.time_zone)).date()
    found += soon(settings, installed(settings), day, _SOON)
    said = expiring(settings, now)
    return found + [f"{key}: {what}" for key, what in said.items()]


def _of_doors(settings: Settings) -> list[str]:
    found = []
    doors = (("fetch", settings.fetch), ("import", settings.imports))
    brings = [key for key, value in doors if value]
    if brings and not any(route.send and route.backfill == "send" for route in settings.routes):
        found.append(
            f"{' and '.join(brings)}: what comes this way is backfill, and no route that sends "
            "says `backfill: send`: its results stay here"
        )
    # A C-MOVE makes the node call us, and whoever is no peer is rejected.
    peers = {peer.ae_title for peer in settings.receiver.peers}
    for name in sorted({rule.node for rule in settings.fetch}):
        node = settings.destinations[name]
        is_let_in = node.ae_title in peers or settings.receiver.accept_unknown_peers
        if node.retrieve == "move" and not is_let_in:
            found.append(
                f"fetch from {name}: {node.ae_title} is no peer under receiver.peers; if it "
                "sends under this AE title, what it is asked for is rejected"
            )
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
