"""The process that holds one loaded pipeline, in an enclosure of its own.

    python -m pipelines.child DESCRIPTOR FOLDER ENCLOSURE

Started by an executor with one end of a socket (see `wire`), in a session of its own. It becomes
two: a keeper, which ends all that the other one leaves, and the process that encloses itself and
serves. Both end with the executor, whatever that dies of. What the pipeline prints goes to
standard error. ENCLOSURE is empty for a program that isolates itself.
"""

import contextlib
import importlib
import os
import resource
import signal
import sys
from pathlib import Path

from appliance.core.crashpoints import crash_folder
from appliance.core.processes import die_with_parent
from pipelines.keeper import divide, end_like
from pipelines.sandbox.enclosure import NOT_ISOLATED, Enclosure, Isolation, enter

_OOM_SCORE = "500"  # if memory runs out, the kernel ends a model, not the receiver


def main(arguments: list[str]) -> int:
    """Serve one executor until it closes its end of the socket."""
    descriptor, folder, enclosure = int(arguments[0]), Path(arguments[1]), arguments[2]
    go_first()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold the image
    keeper = os.getpid()
    ended = divide(descriptor)
    if ended is not None:
        return end_like(ended)
    os.dup2(2, 1)
    isolation = _enclose(folder, enclosure)
    die_with_parent(signal.SIGKILL)
    if os.getppid() == keeper:
        # Not before: NumPy starts threads, and each would have to be enclosed by itself.
        importlib.import_module("pipelines.serving").answer(descriptor, folder, isolation)
    return 0


def go_first() -> None:
    """Let the kernel end this process before any other of ours, where memory runs out."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)


def _enclose(folder: Path, text: str) -> Isolation:
    if not text:
        return NOT_ISOLATED
    enclosure = Enclosure.from_text(text)
    armed = crash_folder()
    return enter(
        Enclosure(
            readable=(folder, *enclosure.readable),
            writable=enclosure.writable if armed is None else (*enclosure.writable, armed),
        )
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
