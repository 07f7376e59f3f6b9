"""The process that holds one loaded pipeline: `python -m pipelines.child DESCRIPTOR FOLDER`.

Started by an executor with one end of a socket (see `wire`), in a session of its own. It loads
when told, then infers until the other end closes. It dies with its parent, whatever the parent
dies of. What the pipeline prints goes to standard error. An exception outside the error tree is
reported and ends the process: nobody knows what state the pipeline is in then.
"""

import contextlib
import os
import signal
import socket
import sys
import time
import traceback
from pathlib import Path
from types import TracebackType

from appliance.core.crashpoints import CrashPoint, crash_point
from appliance.core.errors import ApplianceError, PermanentPipelineError, TransientPipelineError
from appliance.core.processes import die_with_parent
from pipelines.base import Pipeline, PipelineInput
from pipelines.device import choose
from pipelines.manifest import load_manifest
from pipelines.registry import build
from pipelines.wire import Channel, Done, Failed, Infer, Load, Progress, Ready, failed

_OOM_SCORE = "500"  # if memory runs out, the kernel ends a model, not the receiver


def main(arguments: list[str]) -> int:
    """Serve one executor until it closes the channel."""
    descriptor, folder = int(arguments[0]), Path(arguments[1])
    die_with_parent(signal.SIGKILL)
    go_first()
    os.set_inheritable(descriptor, False)  # noqa: FBT003, the argument is positional
    os.dup2(2, 1)
    with Channel(socket.socket(fileno=descriptor)) as channel:
        # The parent may have died before the signal was asked for; then its end is closed.
        if not channel.is_hung_up():
            with Reporter(channel):
                serve(channel, folder)
    return 0


def go_first() -> None:
    """Let the kernel end this process before any other of ours, where memory runs out."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)


def serve(channel: Channel, folder: Path) -> None:
    """Load the pipeline in `folder` when told, then answer requests until the stream ends."""
    request = channel.receive()
    if not isinstance(request, Load):
        return
    try:
        pipeline = _load(channel, folder, request)
    except ApplianceError as error:
        channel.send(failed(error, ends=True))
        return
    while (request := channel.receive()) is not None:
        if isinstance(request, Infer):
            _answer(channel, pipeline, request)


def _load(channel: Channel, folder: Path, request: Load) -> Pipeline:
    start = time.monotonic()
    manifest = load_manifest(folder)
    device = choose(request.device, manifest)
    pipeline = build(manifest, folder)
    pipeline.load(device)
    channel.send(Ready(device=device, seconds=time.monotonic() - start))
    return pipeline


def _answer(channel: Channel, pipeline: Pipeline, request: Infer) -> None:
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
    )
    try:
        output = pipeline.infer(study)
    except ApplianceError as error:
        channel.send(failed(error))
    else:
        channel.send(Done(output=output, seconds=time.monotonic() - start))


class Reporter:
    """Tells the other end of an exception that nobody expected, before it ends the process."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            with contextlib.suppress(ApplianceError):
                self._channel.send(unexpected(error, trace))


def unexpected(error: BaseException, trace: TracebackType | None) -> Failed:
    """Return an exception outside the tree as a message; memory may be there next time.

    The place is told, the text is not: a library may quote what it read from the images.
    """
    frames = traceback.extract_tb(trace)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    text = f"the pipeline raised {type(error).__name__}{place}; the log has more"
    if _is_about_memory(error):
        return failed(TransientPipelineError(text), ends=True)
    return failed(PermanentPipelineError(text), ends=True)


def _is_about_memory(error: BaseException) -> bool:
    # torch.OutOfMemoryError by name: this process may have no torch.
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"MemoryError", "OutOfMemoryError"})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
