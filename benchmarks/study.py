"""The brain study, from the first image sent to the last result proven, beside the bare model.

The peer is the network alone on the same conformed head, in a process of its own; both on this
machine, in turn. Our share is everything but the model: receiving, deciding, reading, resampling,
sides, encoding, delivering. Quiet time and the cold start of the child are told apart.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from appliance.core.ports import Role
from benchmarks.common import Ratio, report

ROUNDS = 2
BARE = """
import json, resource, sys, time
import torch
from appliance.demo.play import study_folder
from pipelines.brain_mr import net
from pipelines.brain_mr.head import read_head
from pipelines.folders import SHIPPED
from pipelines.series import read_volume
head = read_head(read_volume(sorted(study_folder(None).glob("*.dcm")))).cranium()
model = net.load(SHIPPED["brain-mr"], "cpu")
start = time.monotonic()
net.probabilities(model, torch.from_numpy(head.array), lambda _: None)
seconds = time.monotonic() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"seconds": seconds, "peak_mb": peak}))
"""


def run(out: Path) -> None:
    """Run both in turn, and report."""
    bare, ours = [], []
    for _ in range(ROUNDS):
        bare.append(_bare())
        ours.append(_whole_way())
    model = statistics.median(row["seconds"] for row in bare)
    phases = {
        phase: statistics.median(row["seconds"].get(phase, 0.0) for row in ours)
        for phase in ours[0]["seconds"]
    }
    busy = sum(seconds for phase, seconds in phases.items() if phase not in ("queue", "load"))
    share = {phase: round(100 * seconds / model, 2) for phase, seconds in phases.items()}
    report(
        "study",
        [
            Ratio(
                what="study-without-cold-start",
                peer="bare-model",
                ratio=busy / model,
                conditions={"head": "170x256x256", "rounds": ROUNDS, "device": ours[0]["device"]},
            )
        ],
        {
            "bare_model_seconds": [row["seconds"] for row in bare],
            "bare_model_peak_mb": [row["peak_mb"] for row in bare],
            "phases_seconds": phases,
            "phases_per_cent_of_bare_model": share,
            "peak_mb_by_role": ours[-1]["peak_mb"],
        },
        out,
    )
    for phase, per_cent in share.items():
        print(f"  {phase:<10} {phases[phase]:7.2f} s  {per_cent:6.1f} % of the bare model")
    for role, peak in ours[-1]["peak_mb"].items():
        print(f"  peak memory {role:<12} {peak:7.0f} MB")


def _bare() -> dict[str, float]:
    done = subprocess.run([sys.executable, "-c", BARE], capture_output=True, text=True, check=True)
    row: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return row


def _whole_way() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        demo = subprocess.Popen(
            [sys.executable, "-m", "appliance", "demo", "--once", "--json", str(out)],
            stdout=subprocess.DEVNULL,
        )
        peaks = _watch(demo)
        if demo.returncode != 0:
            raise RuntimeError(f"the demo ended with {demo.returncode}")
        (job,) = json.loads(out.read_text())["jobs"]
    return {"seconds": job["seconds"], "device": job["device"], "peak_mb": peaks}


def _watch(demo: subprocess.Popen[bytes]) -> dict[str, float]:
    """Wait for the demo to end; return the peak resident memory of each role's process."""
    peaks: dict[str, float] = {}
    while demo.poll() is None:
        for name, megabytes in _memory_of_descendants(demo.pid):
            peaks[name] = max(peaks.get(name, 0.0), megabytes)
        try:
            demo.wait(0.5)
        except subprocess.TimeoutExpired:
            continue
    return peaks


def _memory_of_descendants(pid: int) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        called = Path(f"/proc/{pid}/comm").read_text().strip()
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return found
    name = called if called in tuple(Role) else _name(words)
    peak = next((line for line in status.splitlines() if line.startswith("VmHWM")), "VmHWM: 0")
    found.append((name, int(peak.split()[1]) / 1024))
    for child in children:
        found += _memory_of_descendants(int(child))
    return found


def _name(words: list[bytes]) -> str:
    for module in (b"pipelines.child", b"appliance"):
        if module in words:
            after = words[words.index(module) + 1]
            return "pipeline-child" if module == b"pipelines.child" else after.decode()
    return "other"
