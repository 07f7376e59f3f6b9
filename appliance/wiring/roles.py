"""Each role made ready: what its process does in a step."""

import hashlib
import os
import socket
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path

import pydicom
from feedback.server import WebServer
from scp.options import AllowedPeer, ReceiverOptions
from scp.server import Receiver

from appliance.core.model import ReceivedInstance
from appliance.core.ports import Role, Wakeup
from appliance.intake.patient import patient_key
from appliance.jobs.attempt import Tools
from appliance.jobs.local import LocalExecutor
from appliance.jobs.options import PipelineOptions, WorkerOptions
from appliance.jobs.worker import Worker
from appliance.service import Service, Stop
from appliance.settings.model import Settings
from appliance.wiring.catalogue import installed
from appliance.wiring.intake import orchestrator
from appliance.wiring.schedule import schedule
from appliance.wiring.site import Site
from appliance.wiring.web import application, web_options

_IDLE = timedelta(seconds=1)


class _Announcer:
    """Tells the orchestrator that something is in the spool."""

    def __init__(self, wakeup: Wakeup) -> None:
        self._wakeup = wakeup

    def received(self, _instance: ReceivedInstance, /) -> None:
        self._wakeup.wake(Role.ORCHESTRATE)


def build_service(role: Role, site: Site, stop: Stop) -> Service:
    """Return the role, ready to run. Raises ConfigError."""
    return _BUILDERS[role](site, stop)


def _receive(site: Site, _stop: Stop) -> Service:
    options = receiver_options(site.settings)
    receiver = Receiver(options, site.spool, _Announcer(site.wakeup), site.clock)
    receiver.start()
    return Service(role=Role.RECEIVE, step=lambda: _IDLE, close=receiver.stop)


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
    )


def _orchestrate(site: Site, _stop: Stop) -> Service:
    return Service(role=Role.ORCHESTRATE, step=orchestrator(site).step)


def _work(site: Site, stop: Stop) -> Service:
    options = worker_options(site)
    executor = LocalExecutor(warm_children=options.warm_children, clock=site.clock)
    tools = Tools(
        options=options,
        store=site.store,
        executor=executor,
        path_of=site.spool.path,
        patient_key_of=partial(_patient_key_of, site.secret("patient-key")),
        clock=site.clock,
    )
    worker = Worker(tools, site.wakeup)
    stop.on_stop = worker.stop
    longest = max((p.timeout for p in options.pipelines.values()), default=_IDLE)
    return Service(
        role=Role.WORK,
        step=worker.step,
        close=executor.close,
        longest_step=2 * longest + timedelta(minutes=10),
    )


def worker_options(site: Site) -> WorkerOptions:
    """Return what the worker is told."""
    settings = site.settings
    catalogue = installed(settings)
    return WorkerOptions(
        name=f"{socket.gethostname()}:{os.getpid()}:{os.urandom(4).hex()}",
        pipelines={
            name: PipelineOptions(
                name=name,
                folder=catalogue[name].folder,
                device=pipeline.device,
                timeout=pipeline.timeout,
                memory=pipeline.memory,
            )
            for name, pipeline in settings.pipelines.items()
        },
        results=site.folders.results,
        institution=settings.appliance.institution,
        time_zone=settings.appliance.time_zone,
        device_serial=hashlib.sha256(site.secret("installation")).hexdigest()[:16],
        uid_root=settings.appliance.uid_root,
        lease=settings.jobs.lease,
        backoff=settings.jobs.backoff,
    )


def _patient_key_of(key: bytes, path: Path) -> str | None:
    tags = ["PatientID", "IssuerOfPatientID"]
    dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags)
    identity = (str(dataset.get(tag, "") or "") for tag in tags)
    return patient_key(key, *identity)


def _web(site: Site, _stop: Stop) -> Service:
    options = web_options(site)
    server = WebServer(options, application(site, options))
    server.start()
    return Service(role=Role.WEB, step=partial(_check_alive, server), close=server.stop)


def _check_alive(server: WebServer) -> timedelta:
    if not server.is_alive:
        raise OSError("the web server ended by itself")
    return _IDLE


def _schedule(site: Site, _stop: Stop) -> Service:
    scheduler = schedule(site)
    scheduler.start()
    return Service(role=Role.SCHEDULE, step=lambda: _IDLE, close=scheduler.shutdown)


_Builder = Callable[[Site, Stop], Service]
_BUILDERS: Mapping[Role, _Builder] = {
    Role.RECEIVE: _receive,
    Role.ORCHESTRATE: _orchestrate,
    Role.WORK: _work,
    Role.WEB: _web,
    Role.SCHEDULE: _schedule,
}
