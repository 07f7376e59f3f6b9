"""How much memory a process group holds, from /proc."""

import os
from collections.abc import Iterator
from pathlib import Path

# Fields of /proc/PID/stat behind the command's closing bracket (man 5 proc: 5 and 24).
_PGRP, _RSS = 2, 21


def resident_bytes(group: int) -> int:
    """Return the resident bytes of all processes in `group`; pages they share count for each.

    Not RLIMIT_AS: CUDA reserves far more addresses than it uses.
    """
    page = os.sysconf("SC_PAGE_SIZE")
    return page * sum(rss for pgrp, rss in _processes() if pgrp == group)


def _processes() -> Iterator[tuple[int, int]]:
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            stat = (folder / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # ended in between, or not ours to see
        fields = stat.rpartition(")")[2].split()
        yield int(fields[_PGRP]), int(fields[_RSS])
