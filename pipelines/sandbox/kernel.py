"""System calls that Python has no name for."""

import ctypes
import os
import platform
from collections.abc import Mapping
from types import MappingProxyType

# Numbers by machine: arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h.
_NUMBERS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {  # name: (x86_64, aarch64)
        "acct": (163, 89),
        "add_key": (248, 217),
        "adjtimex": (159, 171),
        "bpf": (321, 280),
        "capset": (126, 91),
        "chroot": (161, 51),
        "clock_adjtime": (305, 266),
        "clock_settime": (227, 112),
        "clone": (56, 220),
        "clone3": (435, 435),
        "connect": (42, 203),
        "delete_module": (176, 106),
        "fanotify_init": (300, 262),
        "finit_module": (313, 273),
        "fsconfig": (431, 431),
        "fsmount": (432, 432),
        "fsopen": (430, 430),
        "fspick": (433, 433),
        "init_module": (175, 105),
        "io_uring_enter": (426, 426),
        "io_uring_register": (427, 427),
        "io_uring_setup": (425, 425),
        "kcmp": (312, 272),
        "kexec_file_load": (320, 294),
        "kexec_load": (246, 104),
        "keyctl": (250, 219),
        "landlock_add_rule": (445, 445),
        "landlock_create_ruleset": (444, 444),
        "landlock_restrict_self": (446, 446),
        "mount": (165, 40),
        "mount_setattr": (442, 442),
        "move_mount": (429, 429),
        "open_by_handle_at": (304, 265),
        "open_tree": (428, 428),
        "perf_event_open": (298, 241),
        "pidfd_getfd": (438, 438),
        "pivot_root": (155, 41),
        "prlimit64": (302, 261),
        "process_madvise": (440, 440),
        "process_vm_readv": (310, 270),
        "process_vm_writev": (311, 271),
        "ptrace": (101, 117),
        "quotactl": (179, 60),
        "quotactl_fd": (443, 443),
        "reboot": (169, 142),
        "request_key": (249, 218),
        "setdomainname": (171, 162),
        "sethostname": (170, 161),
        "setns": (308, 268),
        "settimeofday": (164, 170),
        "socket": (41, 198),
        "socketpair": (53, 199),
        "swapoff": (168, 225),
        "swapon": (167, 224),
        "syslog": (103, 116),
        "umount2": (166, 39),
        "unshare": (272, 97),
        "userfaultfd": (323, 282),
        "vhangup": (153, 58),
    }
)
_COLUMN: Mapping[str, int] = MappingProxyType({"x86_64": 0, "aarch64": 1})

Argument = int | ctypes.c_void_p | bytes | None


class Refused(OSError):
    """The kernel does not have this, or does not allow it here."""


def number_of(name: str) -> int:
    """Return the number of the system call `name` on this machine.

    Raises Refused on a machine whose numbers are not known here.
    """
    column = _COLUMN.get(platform.machine())
    if column is None:
        raise Refused(0, f"system calls of {platform.machine()} are not known")
    return _NUMBERS[name][column]


def call(name: str, *arguments: Argument) -> int:
    """Return what the system call `name` returns. Raises Refused."""
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    words = (ctypes.c_long(a) if isinstance(a, int) else a for a in arguments)
    return _checked(name, library.syscall(ctypes.c_long(number_of(name)), *words))


def control(option: int, *arguments: Argument) -> int:
    """Return what `prctl` returns. Raises Refused."""
    library = ctypes.CDLL(None, use_errno=True)
    rest = [*arguments, *(0 for _ in range(4 - len(arguments)))]
    words = (ctypes.c_ulong(a) if isinstance(a, int) else a for a in rest)
    return _checked("prctl", library.prctl(option, *words))


def _checked(name: str, result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise Refused(code, f"{name}: {os.strerror(code)}")
    return result
