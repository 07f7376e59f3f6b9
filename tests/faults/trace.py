"""Runs a program under strace and reads what it asked of the kernel, in the order of the asking.

A call has a beginning and an end: between them other threads go on. What matters for power loss
is that a write had *ended* before a sync *began*, and the sync had ended before an answer began.
"""

import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

TRACED = (
    "%file,write,pwrite64,writev,pwritev,pwritev2,fsync,fdatasync,sync,syncfs,ftruncate,fallocate,"
    "lseek,dup,dup2,dup3,fcntl,close,clone,clone3,fork,vfork,sendto,sendmsg,sendfile,splice,"
    "copy_file_range,io_uring_setup"
)
_BEGINS = re.compile(r"(\w+)\((.*)$", re.DOTALL)
_RESUMES = re.compile(r"<\.\.\. (\w+) resumed>(.*)$", re.DOTALL)
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_RESULT = re.compile(r"\) += (-?\d+|\?|0x[0-9a-f]+)[^\"]*$")


@dataclass(frozen=True, slots=True)
class Call:
    """One system call; `result` is None while it runs, and where it failed."""

    process: int  # the thread's number, as strace has it
    name: str
    arguments: str
    result: int | None

    def strings(self) -> list[bytes]:
        """Return the buffers and paths among the arguments."""
        return [bytes.fromhex(s.replace("\\x", "")) for s in _STRING.findall(self.arguments)]

    def plain(self) -> str:
        """Return the arguments with each string as an empty one: what is left can be split."""
        return _STRING.sub('""', self.arguments)

    def numbers(self) -> list[str]:
        """Return the arguments apart from strings and structures, in order."""
        return [part.strip() for part in re.sub(r"[\[{].*[\]}]", "", self.plain()).split(",")]


def command(program: Sequence[str], output: Path) -> list[str]:
    """Return the program's command line under strace."""
    options = ["-f", "-xx", "-s", "100000000", "--seccomp-bpf", "-e", f"trace={TRACED}"]
    return ["strace", *options, "-e", "signal=none", "-o", str(output), *program]


def is_allowed() -> bool:
    """Return whether this machine lets a process be traced."""
    try:
        return subprocess.run(["strace", "-o", "/dev/null", "true"], check=False).returncode == 0
    except FileNotFoundError:
        return False


def replay(output: Path, begin: Callable[[Call], None], end: Callable[[Call], None]) -> None:
    """Call `begin` and `end` for each system call, in the order in which they happened."""
    for call in read(output):
        if call.result is None:
            begin(call)
        else:
            end(call)


def read(output: Path) -> Iterator[Call]:
    """Yield each call twice: without its result when it begins, with it when it has ended.

    Calls that failed have no end: they changed nothing.
    """
    running: dict[int, tuple[str, str]] = {}
    with output.open(encoding="ascii", errors="replace") as lines:
        for line in lines:
            first, _, rest = line.rstrip("\n").partition(" ")
            process, rest = int(first), rest.lstrip()
            if found := _RESUMES.match(rest):
                name, arguments = running.pop(process, (found[1], ""))
                yield from _ended(process, name, arguments + found[2])
            elif found := _BEGINS.match(rest):
                name, arguments = found[1], found[2]
                if arguments.endswith("<unfinished ...>"):
                    running[process] = (name, arguments.removesuffix("<unfinished ...>"))
                    yield Call(process, name, running[process][1], None)
                else:
                    whole = _RESULT.search(arguments)
                    yield Call(process, name, arguments[: whole.start()] if whole else "", None)
                    yield from _ended(process, name, arguments)


def _ended(process: int, name: str, text: str) -> Iterator[Call]:
    found = _RESULT.search(text)
    if found is None or found[1].startswith(("-", "?")):
        return
    yield Call(process, name, text[: found.start()], int(found[1], 0))
