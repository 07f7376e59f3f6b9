"""All parts together: what an enclosed process may touch, which parts hold, what is open still."""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from pipelines.sandbox import landlock, namespaces, seccomp
from pipelines.sandbox.kernel import control

_PR_SET_NO_NEW_PRIVS = 38

# What programs and libraries are read from. Not /etc as a whole: the settings lie there. Not
# /run, /var, /tmp, /home: what lies there belongs to somebody.
_SYSTEM = (
    "/bin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/sbin", "/usr", "/proc", "/sys",
    "/etc/alternatives", "/etc/fonts", "/etc/group", "/etc/host.conf", "/etc/hosts",
    "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime",
    "/etc/locale.alias", "/etc/mime.types", "/etc/nsswitch.conf", "/etc/nvidia", "/etc/OpenCL",
    "/etc/os-release", "/etc/passwd", "/etc/ssl/certs", "/etc/timezone",
)  # fmt: skip
_OURS = ("appliance", "pipelines")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


class Part(StrEnum):
    """One of the kernel's ways to keep a process in."""

    NETWORK = "network"  # a network namespace without interfaces
    MOUNTS = "mounts"  # a mount namespace that is read-only
    LANDLOCK = "landlock"
    SECCOMP = "seccomp"


# What a process could do, and the parts of which each alone prevents it.
_PREVENTED: Mapping[str, frozenset[Part]] = MappingProxyType(
    {
        "open a connection": frozenset({Part.NETWORK, Part.SECCOMP}),
        "use other services of this machine": frozenset({Part.SECCOMP}),
        "write outside its folder": frozenset({Part.MOUNTS, Part.LANDLOCK}),
        "change who may use a file": frozenset({Part.MOUNTS}),
        "read what is not its input": frozenset({Part.LANDLOCK}),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """Which parts hold, and why the others do not."""

    parts: tuple[str, ...]
    lacking: Mapping[str, str]

    @property
    def gaps(self) -> tuple[str, ...]:
        """What the process could still do, in words that follow "it could"."""
        return gaps(frozenset(self.parts))


def gaps(parts: frozenset[str]) -> tuple[str, ...]:
    """Return what is open to a process for which only `parts` hold."""
    return tuple(what for what, prevent in _PREVENTED.items() if not prevent & parts)


NOT_ISOLATED = Isolation(parts=(), lacking={part.value: "not asked for" for part in Part})


@dataclass(frozen=True, slots=True, kw_only=True)
class Enclosure:
    """What a process may touch beside programs and libraries: folders and all below them."""

    readable: tuple[Path, ...]
    writable: tuple[Path, ...]

    def as_text(self) -> str:
        """Return it as an argument of a command."""
        return json.dumps([[*map(str, self.readable)], [*map(str, self.writable)]])

    @classmethod
    def from_text(cls, text: str) -> "Enclosure":
        """Return what `as_text` was called on."""
        readable, writable = json.loads(text)
        return cls(readable=tuple(map(Path, readable)), writable=tuple(map(Path, writable)))


def enter(enclosure: Enclosure) -> Isolation:
    """Enclose this process, for good, in as many parts as the kernel has and allows.

    It must have one thread only, and all that it starts from now on is enclosed as well.
    """
    held: list[str] = []
    lacking: dict[str, str] = {}

    def attempt(part: Part, start: Callable[[], None]) -> None:
        try:
            start()
        except OSError as error:
            lacking[part.value] = str(error.strerror or error)
        else:
            held.append(part.value)

    attempt(Part.NETWORK, namespaces.leave_network)
    attempt(Part.MOUNTS, lambda: namespaces.freeze_mounts(enclosure.writable))
    # From here on nothing that is started gets more rights than this process has.
    control(_PR_SET_NO_NEW_PRIVS, 1)
    namespaces.drop_capabilities()
    if Part.MOUNTS in held:
        enclosure = replace(enclosure, writable=(*enclosure.writable, namespaces.SHARED_MEMORY))
    attempt(Part.LANDLOCK, lambda: landlocked(enclosure))
    attempt(Part.SECCOMP, seccomp.restrict)
    return Isolation(parts=tuple(held), lacking=lacking)


def landlocked(enclosure: Enclosure) -> None:
    """Let this process read and write as `enclosure` says. Raises OSError."""
    landlock.restrict(
        readable=(*map(Path, _SYSTEM), *_python(), *enclosure.readable),
        writable=enclosure.writable,
        devices=(*map(Path, _DEVICES), *sorted(Path("/dev").glob("nvidia*"))),
    )


def _python() -> Sequence[Path]:
    """Return where this Python, its packages and our own code are read from.

    Never the folder that happens to be current: that of a service is the root of the file system.
    """
    libraries = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    # Ours by name: an editable installation finds them where no entry of sys.path leads.
    found = filter(None, map(find_spec, _OURS))
    ours = (folder for spec in found for folder in spec.submodule_search_locations or ())
    roots = (sys.prefix, sys.base_prefix, *sys.path, *libraries, *ours)
    return [Path(root).resolve() for root in filter(None, roots)]
