"""A GPU for tests on machines without one: what `pipelines.device` asks of PyTorch, and no more.

It is found before PyTorch by a child whose PYTHONPATH names this folder. The GPU has 10 GB; each
other process that serves a pipeline from a folder beside ours holds 4 GB of it.
"""

import os
import sys
from pathlib import Path

_TOTAL, _EACH = 10 * 10**9, 4 * 10**9


class cuda:  # noqa: N801, it stands for the module
    """`torch.cuda`."""

    @staticmethod
    def is_available() -> bool:
        return True

    @staticmethod
    def device_count() -> int:
        return 1

    @staticmethod
    def mem_get_info(_: object) -> tuple[int, int]:
        return _TOTAL - _EACH * _others(), _TOTAL

    @staticmethod
    def memory_reserved(_: object) -> int:
        return _EACH


def _others() -> int:
    """Return how many processes serve pipelines that lie beside ours; keepers do not."""
    serving = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes().decode().split("\0")
                parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            except OSError:
                continue
            if "pipelines.child" in words:
                serving[folder.name] = words, parent
    ours = Path(sys.argv[2]).parent
    return sum(
        parent in serving and pid != str(os.getpid()) and _folder(words).parent == ours
        for pid, (words, parent) in serving.items()
    )


def _folder(words: list[str]) -> Path:
    return Path(words[words.index("pipelines.child") + 2])
