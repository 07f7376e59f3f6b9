"""Bytes that nobody thought of, against what reads a stranger's bytes first.

    python -m tests.faults.fuzz SECONDS     guided by coverage (atheris), where that is installed

Where atheris is not, wounded seeds by chance: weaker, and said so. hypothesis, which shrinks what
it finds, does a little of it in every `make test`.
"""

import importlib.util
import itertools
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.faults import readers


def guided(seconds: int, folder: Path) -> None:
    """Fuzz guided by coverage; does not return: libFuzzer ends the process."""
    import atheris  # type: ignore[import-not-found]  # noqa: PLC0415 — not everywhere

    seeds = folder / "seeds"
    seeds.mkdir()
    for number, seed in enumerate(readers.seeds()):
        (seeds / f"{number:04d}").write_bytes(seed)
    for name in ("session", "command", "head", "negotiation", "pdu", "store", "incoming"):
        module = sys.modules[f"scp.{name}"]
        for value in list(vars(module).values()):
            if getattr(value, "__module__", None) == module.__name__:
                _instrument(atheris, module, value)
    with readers.house(folder) as shared:
        options = [f"-max_total_time={seconds}", "-max_len=20000", "-timeout=20"]
        arguments = [sys.argv[0], *options, "-rss_limit_mb=2000", "-print_final_stats=1"]
        atheris.Setup([*arguments, str(seeds)], lambda data: readers.read(data, shared))
        atheris.Fuzz()


def _instrument(atheris, module, value) -> None:
    if isinstance(value, type):
        for name, method in list(vars(value).items()):
            if callable(method) and hasattr(method, "__code__"):
                setattr(value, name, atheris.instrument_func(method))
    elif hasattr(value, "__code__"):
        setattr(module, value.__name__, atheris.instrument_func(value))


def by_chance(seconds: float, folder: Path) -> int:
    """Feed wounded seeds for so long; return how many. Raises what a reader should not raise."""
    rng = random.Random(int(seconds))
    seeds = list(readers.seeds())
    deadline = time.monotonic() + seconds
    with readers.house(folder) as shared:
        for count in itertools.count():
            if time.monotonic() > deadline:
                return count
            readers.read(readers.wounded(rng, rng.choice(seeds)), shared)
    raise AssertionError("unreachable")


def main(seconds: int) -> None:
    """Fuzz for so long; the exit code is not 0 if something was found."""
    with tempfile.TemporaryDirectory() as folder:
        if importlib.util.find_spec("atheris") is not None:
            guided(seconds, Path(folder))
        else:
            print(f"by chance: {by_chance(seconds, Path(folder))} inputs")


if __name__ == "__main__":
    main(int(sys.argv[1]))
