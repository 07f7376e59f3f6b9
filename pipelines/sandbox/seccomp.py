"""A filter on system calls: what no model needs, and what leads out of the other parts.

Classic BPF on `struct seccomp_data`; see seccomp(2) and Documentation/userspace-api/seccomp_filter.
A refused call fails with EPERM, like one that a container refuses.
"""

import ctypes
import errno
import platform
import socket
import struct
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from pipelines.sandbox.kernel import Refused, control, number_of

# Never answered. `connect` too: a Unix socket has a path, and who connects to that of a database
# or a container service acts as the appliance. io_uring would make calls past the filter.
REFUSED = (
    "connect",
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd", "kcmp",
    "unshare", "setns", "chroot", "pivot_root", "mount", "umount2", "move_mount", "open_tree",
    "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr", "open_by_handle_at",
    "io_uring_setup", "io_uring_enter", "io_uring_register",
    "bpf", "perf_event_open", "userfaultfd", "fanotify_init",
    "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "reboot",
    "swapon", "swapoff", "acct", "quotactl", "quotactl_fd", "syslog", "vhangup",
    "add_key", "request_key", "keyctl",
    "settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "sethostname", "setdomainname",
)  # fmt: skip

_AUDIT_ARCH: Mapping[str, int] = MappingProxyType({"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7})
_X32 = 0x4000_0000  # the bit in the number of a call of the x32 ABI on x86_64

_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_KILL_PROCESS, _ERRNO, _ALLOW = 0x8000_0000, 0x0005_0000, 0x7FFF_0000

# Instructions: opcode, jump if true, jump if false, constant. Arguments are 64-bit words of which
# these look at the lower half: `int`s all of them (both machines are little-endian).
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16

_NAMESPACES = 0x7E02_0000  # CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}
_SOCKET_TYPE = 0xF  # the rest of the argument are flags

Instruction = tuple[int, int, int, int]


def restrict() -> None:
    """Refuse the calls above to this process. It must have given up new privileges.

    Raises Refused.
    """
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program())
    filters = ctypes.create_string_buffer(code)
    # struct sock_fprog: number of instructions, where they are
    head = struct.pack("@HP", len(code) // 8, ctypes.addressof(filters))
    control(_PR_SET_SECCOMP, _MODE_FILTER, head)


def program() -> tuple[Instruction, ...]:
    """Return the filter for this machine. Raises Refused where its calls are not known."""
    if platform.machine() not in _AUDIT_ARCH:
        raise Refused(0, f"system calls of {platform.machine()} are not known")
    refuse = _RETURN, 0, 0, _ERRNO | errno.EPERM
    return (
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 1, 0, _AUDIT_ARCH[platform.machine()]),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER_AT),
        *_when((_AT_LEAST, 0, 0, _X32), [refuse]),
        *(step for name in REFUSED for step in _when(_is(name), [refuse])),
        # Sockets that connect nothing: stream and sequenced-packet ones of this machine.
        *_when(_is("socket"), _unless_local(refuse)),
        *_when(_is("socketpair"), _unless_local(refuse)),
        *_when(_is("clone"), [*_argument(0), (_ANY_BIT, 0, 1, _NAMESPACES), refuse, _allow()]),
        # Its flags lie in memory where no filter sees them; glibc then uses `clone`.
        *_when(_is("clone3"), [(_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]),
        # Limits of itself (0) and of no other process.
        *_when(_is("prlimit64"), [*_argument(0), (_EQUAL, 1, 0, 0), refuse, _allow()]),
        _allow(),
    )


def _unless_local(refuse: Instruction) -> list[Instruction]:
    return [
        *_argument(0),
        (_EQUAL, 1, 0, socket.AF_UNIX),
        refuse,
        *_argument(1),
        (_AND, 0, 0, _SOCKET_TYPE),
        (_EQUAL, 2, 0, socket.SOCK_STREAM),
        (_EQUAL, 1, 0, socket.SOCK_SEQPACKET),
        refuse,
        _allow(),
    ]


def _is(name: str) -> Instruction:
    return _EQUAL, 0, 0, number_of(name)


def _when(test: Instruction, then: Sequence[Instruction]) -> list[Instruction]:
    """Return instructions that run `then`, which returns, where `test` holds."""
    opcode, _, _, constant = test
    return [(opcode, 0, len(then), constant), *then]


def _argument(position: int) -> list[Instruction]:
    return [(_LOAD, 0, 0, _ARGUMENTS_AT + 8 * position)]


def _allow() -> Instruction:
    return _RETURN, 0, 0, _ALLOW
