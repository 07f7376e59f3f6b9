"""A network with no interface, and every file system read-only but for some folders.

Landlock leaves alone who owns a file, its mode, its times and its extended attributes; a read-only
mount does not. See namespaces(7), mount_setattr(2).
"""

import ctypes
import os
import resource
import struct
from collections.abc import Sequence
from pathlib import Path

from pipelines.sandbox.kernel import Refused, call, control

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108, where shm_open and sem_open make their files

_SHARED = os.fsencode(SHARED_MEMORY)
_CLONE_NEWNS = 0x0002_0000
_CLONE_NEWIPC = 0x0800_0000
_CLONE_NEWUSER = 0x1000_0000
_CLONE_NEWNET = 0x4000_0000
_MS_BIND, _MS_REC, _MS_SLAVE = 0x1000, 0x4000, 0x80000
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_MOUNT_ATTR_RDONLY, _MOUNT_ATTR_NOSUID = 0x1, 0x2
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_CAPABILITY_VERSION_3 = 0x2008_0522
_MOST_TASKS = 4096  # threads count too: PyTorch and OpenBLAS each start one for each core


def leave_network() -> None:
    """Move this process to a network of its own. Raises Refused, OSError.

    Who may not makes a user namespace first, in which he may. This process must have one thread
    only.
    """
    try:
        call("unshare", _CLONE_NEWNET | _CLONE_NEWIPC)
    except Refused:
        _leave_as_user()


def _leave_as_user() -> None:
    user, group = os.geteuid(), os.getegid()
    call("unshare", _CLONE_NEWUSER | _CLONE_NEWNET | _CLONE_NEWIPC)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    # Counted in this namespace alone, not over all processes of the user.
    resource.setrlimit(resource.RLIMIT_NPROC, (_MOST_TASKS, _MOST_TASKS))


def freeze_mounts(writable: Sequence[Path]) -> None:
    """Make every file system read-only for this process, but for the folders `writable`.

    Devices can still be used, and SHARED_MEMORY is an empty one of its own that goes away with
    the last of its processes. Raises Refused.
    """
    call("unshare", _CLONE_NEWNS)
    # What the machine unmounts later goes away here too; nothing goes the other way.
    call("mount", b"none", b"/", None, _MS_REC | _MS_SLAVE, None)
    call("mount", b"tmpfs", _SHARED, b"tmpfs", 0, b"size=1g,mode=1777")
    for folder in writable:
        call("mount", os.fsencode(folder), os.fsencode(folder), None, _MS_BIND, None)
    _set(b"/", _AT_RECURSIVE, on=_MOUNT_ATTR_RDONLY | _MOUNT_ATTR_NOSUID)
    for kept in (_SHARED, *map(os.fsencode, writable)):
        _set(kept, 0, off=_MOUNT_ATTR_RDONLY)


def _set(path: bytes, flags: int, *, on: int = 0, off: int = 0) -> None:
    # struct mount_attr: attr_set, attr_clr, propagation, userns_fd
    attributes = struct.pack("=QQQQ", on, off, 0, 0)
    call("mount_setattr", _AT_FDCWD, path, flags, attributes, len(attributes))


def drop_capabilities() -> None:
    """Give up what root may do, and what a maker of namespaces may do in them. Raises Refused."""
    control(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    head = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITY_VERSION_3, 0))
    call("capset", ctypes.cast(head, ctypes.c_void_p), bytes(24))
