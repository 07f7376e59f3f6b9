"""Which warm children make room, and what to do where a GPU is full. Rules only, no processes."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
# Where the memory limit of a service or container stands: cgroup version 2, then 1.
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What one warm child holds: bytes of main memory, and of a GPU."""

    name: str
    memory: int
    gpu_memory: int


def to_end(warm: Sequence[Held], needed: int, budget: int, most: int) -> tuple[str, ...]:
    """Return which of `warm`, the least recently used first, end before a run that needs memory.

    `needed` bytes are to fit into `budget` beside those that stay, which are fewer than `most`.
    Where even an empty machine has too little, all end, and the run may try.
    """
    staying = list(warm)
    while staying and (len(staying) >= most or needed + sum(c.memory for c in staying) > budget):
        del staying[0]
    return tuple(child.name for child in warm[: len(warm) - len(staying)])


def to_end_on_gpu(warm: Sequence[Held], lacking: int) -> tuple[str, ...]:
    """Return which of `warm`, the least recently used first, end so that `lacking` bytes are free.

    All that hold any of a GPU where `lacking` is 0: nobody knows how much it is.
    """
    ended: list[str] = []
    freed = 0
    for child in warm:
        if child.gpu_memory and (not lacking or freed < lacking):
            ended.append(child.name)
            freed += child.gpu_memory
    return tuple(ended)


class Stage(StrEnum):
    """How a run is tried when the memory of a GPU was not enough."""

    AS_ASKED = "as asked"
    WITH_ROOM = "with room"  # after as many others as necessary ended
    ALONE = "alone"  # after all others on a GPU ended
    ON_CPU = "on the CPU"


def next_stage(stage: Stage, *, is_lacking_known: bool, cpu_fallback: bool) -> Stage | None:
    """Return what to try after a GPU was full at `stage`, None where nothing is left to try."""
    if stage is Stage.AS_ASKED and is_lacking_known:
        return Stage.WITH_ROOM
    if stage in (Stage.AS_ASKED, Stage.WITH_ROOM):
        return Stage.ALONE
    return Stage.ON_CPU if stage is Stage.ALONE and cpu_fallback else None


class Estimates:
    """The most memory that a pipeline's runs took so far, by the digest of its folder."""

    def __init__(self) -> None:
        self._most: dict[str, Held] = {}

    def learn(self, digest: str, memory: int, gpu_memory: int) -> None:
        """Remember what a run took."""
        before = self._most.get(digest, Held(name=digest, memory=0, gpu_memory=0))
        self._most[digest] = Held(
            name=digest,
            memory=max(before.memory, memory),
            gpu_memory=max(before.gpu_memory, gpu_memory),
        )

    def of(self, digest: str, otherwise: int) -> int:
        """Return the bytes of main memory that a run will take, `otherwise` before the first."""
        known = self._most.get(digest)
        return known.memory if known else otherwise

    def on_gpu(self, digest: str) -> int:
        """Return the bytes of a GPU that a run took, 0 where none did."""
        known = self._most.get(digest)
        return known.gpu_memory if known else 0


def machine_memory() -> int:
    """Return the bytes of memory that this machine has, or that its container may use."""
    fields = dict(line.split(":") for line in _MEMINFO.read_text().splitlines())
    sizes = [int(fields["MemTotal"].split()[0]) << 10]
    sizes += [int(text) for text in map(_text, _LIMITS) if text.isdigit()]
    return min(sizes)


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
