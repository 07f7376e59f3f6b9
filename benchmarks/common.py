"""What every benchmark writes: the machine, the ratios, a JSON file."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """One comparison: ours by the peer's, and under which conditions."""

    what: str
    peer: str
    ratio: float
    conditions: dict[str, object]

    def line(self) -> str:
        """Return the one line that other tools read."""
        conditions = " ".join(f"{key}={value}" for key, value in self.conditions.items())
        return f"ratio peer={self.peer} {conditions} what={self.what} value={self.ratio:.2f}"


def machine() -> dict[str, object]:
    """Return what the figures were taken on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = Path("/proc/meminfo").read_text().split(maxsplit=2)[1]
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(int(memory) / 1e6, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "pynetdicom", "pydicom", "highdicom")},
    }


def file_system(folder: Path) -> str:
    """Return the type of the file system that the folder lies on."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    at = str(folder.resolve())
    holding = [m for m in mounts if at == m[1] or at.startswith(m[1].rstrip("/") + "/")]
    return max(holding, key=lambda mount: len(mount[1]))[2]


def without_delay() -> None:
    """Switch off Nagle's algorithm in DCMTK, and in Orthanc, which is built on it.

    With it, each of their answers waits some 40 ms for a delayed ACK: no fair peer.
    """
    os.environ["TCP_NODELAY"] = "1"


def report(name: str, ratios: Sequence[Ratio], details: object, out: Path) -> None:
    """Print the ratios, one a line, and write everything to `out`/`name`.json."""
    out.mkdir(parents=True, exist_ok=True)
    document = {
        "benchmark": name,
        "machine": machine(),
        "ratios": [asdict(ratio) for ratio in ratios],
        "details": details,
    }
    (out / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n")
    for ratio in ratios:
        print(ratio.line())
