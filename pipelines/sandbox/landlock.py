"""Landlock: which folders this process may read and write. See landlock(7).

A rule allows a folder and all below it; what no rule allows is refused. There is no rule that
takes something away again.
"""

import os
import struct
from collections.abc import Iterable
from pathlib import Path

from pipelines.sandbox.kernel import Refused, call

# LANDLOCK_ACCESS_FS_*, include/uapi/linux/landlock.h
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_CHAR, _MAKE_BLOCK, _TRUNCATE, _IOCTL_DEV = 1 << 6, 1 << 11, 1 << 14, 1 << 15
_OF_VERSION_1 = (1 << 13) - 1  # all up to MAKE_SYM
_ADDED = {2: 1 << 13, 3: _TRUNCATE, 5: _IOCTL_DEV}  # version: right; 2 is REFER

_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1  # version 4
_SCOPE_ABSTRACT_UNIX_SOCKET, _SCOPE_SIGNAL = 1 << 0, 1 << 1  # version 6

_READ = _EXECUTE | _READ_FILE | _READ_DIR
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV  # the others: of folders

OLDEST = 3  # before it, a file that may not be written could still be emptied

_CREATE_RULESET_VERSION = 1 << 0
_RULE_PATH_BENEATH = 1


def version() -> int:
    """Return the version of Landlock that this kernel has, 0 for none."""
    try:
        return call("landlock_create_ruleset", None, 0, _CREATE_RULESET_VERSION)
    except Refused:
        return 0


def restrict(
    *, readable: Iterable[Path], writable: Iterable[Path], devices: Iterable[Path]
) -> None:
    """Let this process read, write and use these files and folders alone, and no TCP.

    `writable` may be read too. Where the kernel can (version 6), signals to processes outside and
    abstract Unix sockets of others end here. What this user cannot reach is passed over. The
    process must have given up new privileges. Raises Refused.
    """
    known = version()
    if known < OLDEST:
        raise Refused(0, f"Landlock has version {known}, not {OLDEST}")
    handled = _OF_VERSION_1 | sum(right for since, right in _ADDED.items() if since <= known)
    everything = handled & ~(_MAKE_CHAR | _MAKE_BLOCK | _IOCTL_DEV)
    ruleset = _create(known, handled)
    try:
        _allow(ruleset, readable, _READ)
        _allow(ruleset, writable, everything)
        _allow(ruleset, devices, handled & (_READ_FILE | _WRITE_FILE | _READ_DIR | _IOCTL_DEV))
        call("landlock_restrict_self", ruleset, 0)
    finally:
        os.close(ruleset)


def _create(known: int, handled: int) -> int:
    # struct landlock_ruleset_attr: handled_access_fs, handled_access_net, scoped
    words = [handled]
    if known >= 4:
        words.append(_BIND_TCP | _CONNECT_TCP)
    if known >= 6:
        words.append(_SCOPE_ABSTRACT_UNIX_SOCKET | _SCOPE_SIGNAL)
    attributes = struct.pack(f"={len(words)}Q", *words)
    return call("landlock_create_ruleset", attributes, len(attributes), 0)


def _allow(ruleset: int, paths: Iterable[Path], rights: int) -> None:
    for path in dict.fromkeys(paths):
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue  # not there, or not for this user anyhow
        try:
            allowed = rights if path.is_dir() else rights & _OF_FILES
            # struct landlock_path_beneath_attr, packed: allowed_access, parent_fd
            rule = struct.pack("=Qi", allowed, descriptor)
            call("landlock_add_rule", ruleset, _RULE_PATH_BENEATH, rule, 0)
        finally:
            os.close(descriptor)
