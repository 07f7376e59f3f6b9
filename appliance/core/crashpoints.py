"""Named points at which tests kill the process, to prove that each hand-over survives it.

In production the environment variable is not set and a point costs one dictionary look-up.
`APPLIANCE_CRASH_FOLDER` names a folder: the first process that reaches a point while a file of
the point's name lies there takes the file away and is killed.
"""

import os
import signal
from enum import StrEnum
from pathlib import Path

VARIABLE = "APPLIANCE_CRASH_FOLDER"


class CrashPoint(StrEnum):
    """Just before or after something becomes true (see ARCHITECTURE.md, hand-overs)."""

    LANDING_BEFORE_WRITE = "landing.before-write"
    LANDING_AFTER_WRITE = "landing.after-write"
    SPOOL_BEFORE_LINK = "spool.before-link"
    SPOOL_AFTER_LINK = "spool.after-link"
    LANDING_BEFORE_UNLINK = "landing.before-unlink"
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


def crash_folder() -> Path | None:
    """Return the folder in which tests arm points; None in production."""
    folder = os.environ.get(VARIABLE)
    return None if folder is None else Path(folder)


def crash_point(point: CrashPoint) -> None:
    """Kill this process with SIGKILL if a test has armed this point."""
    folder = crash_folder()
    if folder is None:
        return
    try:
        (folder / point.value).unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
