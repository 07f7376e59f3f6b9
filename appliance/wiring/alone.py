"""A lock for roles of which one process at a time may run on a data folder."""

import fcntl
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from appliance.core.errors import StoreError
from appliance.core.ports import Role


def alone(run_folder: Path, role: Role) -> Callable[[], None]:
    """Return what lets go of the role's lock. Raises StoreError where another process holds it."""
    descriptor = os.open(run_folder / f"{role.value}.lock", os.O_RDWR | os.O_CREAT, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StoreError(
            f"another process runs `{role.value}` on {run_folder.parent}; end that one first"
        ) from None
    return partial(os.close, descriptor)
