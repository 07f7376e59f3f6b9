"""Starts roles of the appliance quickly: one process imports the code, each role is forked of it.

A role that is killed two hundred times must not cost two hundred imports. Each child is a
process of its own, in a session of its own, and runs the command line as a site does. When the
tests are gone (their end of the pipe closes), all children are killed.

    python -m tests.faults.nursery      reads one JSON object a line, answers with a pid each
"""

import contextlib
import ctypes
import importlib
import json
import os
import resource
import signal
import struct
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from appliance.core.clock import SystemClock

_IMPORTED_BEFORE = (
    "appliance.cli.main",
    "appliance.cli.roles",
    "appliance.wiring.receive",
    "appliance.wiring.intake",
    "results_store.store",
    "pynetdicom",
)


def main() -> None:
    """Fork a role for each line of the standard input, until it ends."""
    for name in _IMPORTED_BEFORE:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them: they leave no zombie
    children = []
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(request)
        children.append(pid)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def _become(request: dict[str, Any]) -> None:
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    for target in (1, 2):
        os.dup2(log, target)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.closerange(3, 64)
    os.environ.update(request["environment"])
    _suffer(request["hardships"])
    sys.argv = ["appliance", *request["arguments"]]
    from appliance.cli.main import run  # noqa: PLC0415 — imported long before

    code = 1
    try:
        code = run(list(request["arguments"]))
    finally:
        sys.stdout.flush()
        os._exit(code)


def _suffer(hardships: dict[str, Any]) -> None:
    """Make the process's life hard: see `site.Hardships`."""
    if limit := hardships["largest_file"]:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if hardships["without_powers"]:
        header = struct.pack("<Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3
        if ctypes.CDLL(None).capset(header, bytes(24)) != 0:
            raise OSError("the powers of root cannot be laid down")
    if clock := hardships["clock"]:

        def now(_: SystemClock) -> datetime:
            return datetime.now(UTC) + timedelta(seconds=float(Path(clock).read_text()))

        SystemClock.now = now  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
