"""The receive role. It needs no store: receiving goes on while the store is down."""

import os
import threading
from collections.abc import Callable
from datetime import timedelta

from appliance.core.ports import Role
from appliance.service import Service, Stop
from appliance.settings.model import Settings
from appliance.wiring.certificates import RECEIVER_TLS, server_files
from appliance.wiring.depot import Announcer
from appliance.wiring.site import Site
from scp.announcing import Availability, Desk, PerformedSteps
from scp.commitment import StorageCommitment
from scp.crew import Crew
from scp.listening import Listeners
from scp.notices import Notices
from scp.options import AllowedPeer, ReceiverOptions, TlsOptions
from scp.server import Receiver
from scp.services import Service as ProvidedService
from scp.step_states import StepStates

_IDLE = timedelta(seconds=1)


def build(site: Site, stop: Stop) -> Service:
    """Return the role; its port is open, and stays so while the program replaces itself."""
    options = receiver_options(site.settings)
    listeners = Listeners(os.environ)
    receiver = Receiver(
        options,
        site.spool,
        Announcer(site.wakeup),
        site.clock,
        tallies=site.folders.tallies,
        services=services(site),
        listeners=listeners,
    )

    listeners.close_unused()

    def close() -> None:
        if stop.reload:
            receiver.hand_on(os.environ)
        receiver.stop()

    if site.settings.receiver.processes == 1:
        receiver.start()
        return Service(role=Role.RECEIVE, step=lambda: _IDLE, close=close)
    return _of_several(receiver, site.settings.receiver.processes, close)


def services(site: Site) -> tuple[ProvidedService, ...]:
    """Return what is offered besides storing and echoing."""
    settings = site.settings
    notices = Notices(site.folders.spool, refuse_below_bytes=settings.receiver.disk.refuse_below)
    desk = Desk(notices, site.clock, lambda: site.wakeup.wake(Role.ORCHESTRATE))
    asking = [peer.ae_title for peer in settings.receiver.peers if peer.commitment]
    always = (PerformedSteps(desk, StepStates(site.folders.spool)), Availability(desk))
    return (*always, StorageCommitment(desk, asking)) if asking else always


def _of_several(receiver: Receiver, processes: int, end: Callable[[], None]) -> Service:
    def serve(stop: threading.Event) -> None:
        receiver.start()
        stop.wait()
        receiver.stop()

    crew = Crew(processes, serve)
    crew.tend()

    def step() -> timedelta:
        crew.tend()
        return _IDLE

    def close() -> None:
        crew.stop()
        end()

    return Service(role=Role.RECEIVE, step=step, close=close)


def receiver_options(settings: Settings) -> ReceiverOptions:
    """Return what the receiver is told."""
    receiver = settings.receiver
    return ReceiverOptions(
        ae_title=settings.appliance.ae_title,
        host=receiver.listen.host,
        port=receiver.listen.port,
        peers=tuple(
            AllowedPeer(
                ae_title=peer.ae_title,
                networks=(str(peer.address),),
                accept_private_storage=peer.accept_private_storage,
                certificate=peer.certificate,
            )
            for peer in receiver.peers
        ),
        max_associations=receiver.max_associations,
        max_associations_per_peer=receiver.max_associations_per_peer,
        max_pdu_length=receiver.max_pdu_length,
        max_message_bytes=receiver.max_message,
        refuse_below_bytes=receiver.disk.refuse_below,
        warn_below_bytes=receiver.disk.warn_below,
        network_timeout=receiver.network_timeout,
        accept_unknown_peers=receiver.accept_unknown_peers,
        durability=receiver.durability,
        tls=_tls_options(settings),
        plain=receiver.tls is None or not receiver.tls.only,
    )


def _tls_options(settings: Settings) -> TlsOptions | None:
    tls = settings.receiver.tls
    if tls is None:
        return None
    files = server_files(settings)[RECEIVER_TLS]
    return TlsOptions(host=tls.listen.host, port=tls.listen.port, files=files)
