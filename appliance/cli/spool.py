"""`appliance check --spool`: what it prints while it reads, and its exit code."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from appliance.cli.common import console, errors
from appliance.core.quantities import format_size
from appliance.wiring.site import open_site
from appliance.wiring.spool_check import check_spool
from scp.soundness import HARMLESS, MEANINGS, Kind, Problem, Progress


def report_spool(config: Path, bytes_a_second: int | None) -> int:
    """Print every file of the spool that is not as it should be; return 1 if there is one."""
    with open_site(config) as site, errors.status("spool: 0 %") as shown:
        counts: Counter[Kind] = Counter()
        progress = Progress(share=0, files=0, size=0)
        for found in check_spool(site, bytes_a_second):
            if isinstance(found, Progress):
                progress = found
                shown.update(f"spool: {_read(progress)}, {progress.share:.0%}")
            else:
                counts[found.kind] += 1
                _print(found)
    for line in _summary(counts, progress):
        console.print(line, markup=False, soft_wrap=True)
    return 1 if counts.keys() - HARMLESS else 0


def _print(problem: Problem) -> None:
    if problem.kind is Kind.QUARANTINED:
        return  # they can be thousands; the sum tells, and `appliance status` says why
    style = "yellow" if problem.kind in HARMLESS else "red"
    detail = f" ({problem.detail})" if problem.detail else ""
    text = f"{problem.kind.value}: {problem.path}: {MEANINGS[problem.kind]}{detail}"
    console.print(text, style=style, markup=False, soft_wrap=True)


def _summary(counts: Counter[Kind], progress: Progress) -> Iterator[str]:
    wrong = sum(number for kind, number in counts.items() if kind not in HARMLESS)
    result = f"{wrong} wrong; nothing was changed" if wrong else "all as they were received"
    yield f"spool: {_read(progress)}; {result}."
    for kind in Kind:
        if counts[kind]:
            yield f"    {counts[kind]} {kind.value}: {MEANINGS[kind]}"


def _read(progress: Progress) -> str:
    return f"{progress.files} files, {format_size(progress.size)} read"
