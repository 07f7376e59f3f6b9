"""Named points at which tests kill the process, to prove that each hand-over survives it.

In production the environment variable is not set and a point costs one dictionary look-up.
`APPLIANCE_CRASH_AT=point@/path/of/marker` kills the first process that reaches the point while
the marker does not exist, once.
"""

import os
import signal
from enum import StrEnum

VARIABLE = "APPLIANCE_CRASH_AT"


class CrashPoint(StrEnum):
    """Just before or after something becomes true (see ARCHITECTURE.md, hand-overs)."""

    SPOOL_BEFORE_LINK = "spool.before-link"
    SPOOL_AFTER_LINK = "spool.after-link"
    INDEX_BEFORE_COMMIT = "index.before-commit"
    INDEX_AFTER_COMMIT = "index.after-commit"
    QUEUE_BEFORE_COMMIT = "queue.before-commit"
    QUEUE_AFTER_COMMIT = "queue.after-commit"
    JOB_AFTER_CLAIM = "job.after-claim"
    CHILD_DURING_INFER = "child.during-infer"
    JOB_AFTER_INFER = "job.after-infer"
    JOB_AFTER_ENCODE = "job.after-encode"
    DONE_BEFORE_COMMIT = "done.before-commit"
    DONE_AFTER_COMMIT = "done.after-commit"
    DELIVERY_AFTER_CLAIM = "delivery.after-claim"
    DELIVERY_AFTER_SEND = "delivery.after-send"
    DELIVERY_BEFORE_PROOF = "delivery.before-proof"


def crash_point(point: CrashPoint) -> None:
    """Kill this process with SIGKILL if the environment names this point."""
    wanted = os.environ.get(VARIABLE)
    if wanted is None or not wanted.startswith(f"{point.value}@"):
        return
    marker = wanted.partition("@")[2]
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
