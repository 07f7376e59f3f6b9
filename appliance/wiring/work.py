"""The work role."""

import hashlib
from datetime import timedelta
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

from appliance.core.ports import Role
from appliance.intake.patient import patient_key
from appliance.jobs.attempt import Tools
from appliance.jobs.cluster import ClusterOptions, RayExecutor
from appliance.jobs.local import LocalExecutor
from appliance.jobs.options import PipelineOptions, WorkerOptions
from appliance.jobs.worker import Worker
from appliance.service import Service, Stop
from appliance.wiring.catalogue import installed
from appliance.wiring.identity import patient_identity
from appliance.wiring.registry import register
from appliance.wiring.releases import Gate
from appliance.wiring.site import Site, lease_holder

_IDLE = timedelta(seconds=1)


def build(site: Site, stop: Stop) -> Service:
    """Return the role; no model is loaded yet."""
    register(site, installed(site.settings))
    options = worker_options(site)
    executor = executor_of(site)
    tools = Tools(
        options=options,
        store=site.store,
        executor=executor,
        path_of=site.spool.path,
        patient_key_of=partial(_patient_key_of, site.secret("patient-key")),
        shadow_of=Gate(site.settings, site.clock).shadow_of,
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


def executor_of(site: Site) -> LocalExecutor | RayExecutor:
    """Return what runs pipelines, as the settings say; it has no child yet."""
    jobs = site.settings.jobs
    if jobs.cluster is None:
        return LocalExecutor(
            warm_children=jobs.warm_pipelines,
            warm_memory=jobs.warm_memory,
            clock=site.clock,
            scratch=site.folders.scratch,
        )
    options = ClusterOptions(
        address=jobs.cluster.address,
        node_address=jobs.cluster.node_address,
        cpus=jobs.cluster.cpus,
        gpus=jobs.cluster.gpus,
    )
    return RayExecutor(options, warm_children=jobs.warm_pipelines, clock=site.clock)


def worker_options(site: Site) -> WorkerOptions:
    """Return what the worker is told."""
    settings = site.settings
    catalogue = installed(settings)
    return WorkerOptions(
        name=lease_holder(),
        pipelines={
            name: PipelineOptions(
                name=name,
                folder=catalogue[name].folder,
                device=pipeline.device,
                timeout=pipeline.timeout,
                hang=pipeline.hang,
                memory=pipeline.memory,
                gpu_memory=pipeline.gpu_memory,
                processes=pipeline.processes,
                disk=pipeline.disk,
                parameters=pipeline.parameters,
            )
            for name, pipeline in settings.pipelines.items()
        },
        results=site.folders.results,
        institution=settings.appliance.institution,
        time_zone=ZoneInfo(settings.appliance.time_zone),
        device_serial=hashlib.sha256(site.secret("installation")).hexdigest()[:16],
        uid_root=settings.appliance.uid_root,
        lease=settings.jobs.lease,
        backoff=settings.jobs.backoff,
    )


def _patient_key_of(key: bytes, path: Path) -> str | None:
    return patient_key(key, *patient_identity(path))
