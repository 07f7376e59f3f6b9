"""What the child process does with its pipeline: loads it when told, then infers.

It goes on until the other end closes. An exception outside the error tree is reported and ends
the process: nobody knows what state the pipeline is in then.
"""

import os
import socket
import time
from pathlib import Path

from appliance.core.crashpoints import CrashPoint, crash_point
from appliance.core.errors import ApplianceError
from pipelines.ahead import Inbox
from pipelines.base import Pipeline, PipelineInput, Prepares
from pipelines.complaints import Reporter, told
from pipelines.device import Device, choose
from pipelines.manifest import load_manifest
from pipelines.registry import build
from pipelines.sandbox.enclosure import Isolation
from pipelines.wire import Channel, Done, Enclosed, Infer, Load, Progress, Ready


def answer(descriptor: int, folder: Path, isolation: Isolation) -> None:
    """Serve the executor at the other end of the socket `descriptor` until it closes it."""
    os.set_inheritable(descriptor, False)  # noqa: FBT003, the argument is positional
    with Channel(socket.socket(fileno=descriptor)) as channel:
        # The other end may be gone before its going could be told.
        if not channel.is_hung_up():
            with Reporter(channel, isolation):
                serve(channel, folder, isolation)


def serve(channel: Channel, folder: Path, isolation: Isolation) -> None:
    """Load the pipeline in `folder` when told, then answer requests until the stream ends."""
    # Before any code of the pipeline could say it in our name.
    channel.send(Enclosed(isolation=isolation))
    request = channel.receive()
    if not isinstance(request, Load):
        return
    try:
        pipeline, device = _load(channel, folder, request)
    except ApplianceError as error:
        channel.send(told(error, ends=True))
        return
    inbox: Inbox | None = None
    if isinstance(pipeline, Prepares):
        inbox = Inbox(channel, pipeline)
        inbox.start()
    while (request := (inbox or channel).receive()) is not None:
        if isinstance(request, Infer):
            prepared = inbox.prepared(request.run_uid) if inbox else None
            if not _answer(channel, pipeline, device, request, prepared):
                return


def _load(channel: Channel, folder: Path, request: Load) -> tuple[Pipeline, Device]:
    start = time.monotonic()
    manifest = load_manifest(folder)
    device = Device(choose(request.device, manifest, request.gpu_needed), request.gpu_limit)
    pipeline = build(manifest, folder)
    pipeline.load(device.name)
    channel.send(
        Ready(
            device=device.name,
            seconds=time.monotonic() - start,
            gpu_memory=device.held(),
            prepares=isinstance(pipeline, Prepares),
        )
    )
    return pipeline, device


def _answer(
    channel: Channel, pipeline: Pipeline, device: Device, request: Infer, prepared: object
) -> bool:
    """Infer and tell what came of it; return whether the pipeline can be asked again."""

    def progress(fraction: float, text: str) -> None:
        channel.send(Progress(fraction=min(max(float(fraction), 0.0), 1.0), text=text))

    start = time.monotonic()
    progress(0.0, "infer")
    crash_point(CrashPoint.CHILD_DURING_INFER)
    study = PipelineInput(
        volumes=request.volumes,
        files={name: tuple(map(Path, paths)) for name, paths in request.files.items()},
        scratch=Path(request.scratch),
        parameters=request.parameters,
        run_uid=request.run_uid,
        progress=progress,
        prepared=prepared,
    )
    try:
        output = pipeline.infer(study)
    except ApplianceError as error:
        answer = told(error)
        channel.send(answer)
        return not answer.ends
    seconds = time.monotonic() - start
    channel.send(Done(output=output, seconds=seconds, gpu_memory=device.held()))
    return True
