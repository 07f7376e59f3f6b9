"""What a cohort's run has settled so far: one line a study, appended and synced.

A run that was killed leaves all lines but at most the last one whole; that one is cut off when
the next run opens the file. Only one run at a time may hold it.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from appliance.core.errors import ApplianceError

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """What every study of the file was run with."""

    cohort: str
    pipeline: str
    version: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """How one study ended: a row of its own, and one for each measurement."""

    study: Row
    measurements: tuple[Row, ...]


class Journal:
    """The open file. Raises ApplianceError where it is not what the run needs."""

    def __init__(self, path: Path, heading: Heading, *, resume: bool) -> None:
        self._path = path
        if path.exists() and not resume:
            raise ApplianceError(
                f"{path} is there from an earlier run; go on with it by --resume, or name another "
                "--out"
            )
        if resume and not path.exists():
            raise ApplianceError(f"{path} is not there: nothing to go on with; leave --resume out")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b")
        try:
            self._lock()
            self.settled = self._read(heading)
        except ApplianceError:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, study_instance_uid: str, settled: Settled) -> None:
        """Write down how a study ended; it lasts from then on."""
        self._append(asdict(settled))
        self.settled[study_instance_uid] = settled

    def _append(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ApplianceError(
                f"{self._path}: another run is writing it; wait for its end"
            ) from None

    def _read(self, heading: Heading) -> dict[str, Settled]:
        """Return what earlier runs settled; the last word on a study counts."""
        lines = list(self._whole_lines())
        if not lines:
            self._append(asdict(heading))
            return {}
        _same(self._path, lines[0], heading)
        return {
            line["study"]["study_instance_uid"]: Settled(
                study=line["study"], measurements=tuple(line["measurements"])
            )
            for line in lines[1:]
        }

    def _whole_lines(self) -> Iterator[dict[str, Any]]:
        self._file.seek(0)
        end = 0
        for raw in self._file:
            if not raw.endswith(b"\n"):
                break
            try:
                yield json.loads(raw)
            except ValueError:
                break
            end += len(raw)
        self._file.truncate(end)
        self._file.seek(end)


def _same(path: Path, written: Mapping[str, Any], heading: Heading) -> None:
    for name, value in asdict(heading).items():
        before = str(written.get(name))
        if before != value:
            raise ApplianceError(
                f"{path}: its studies were run with {name} {before}, this would be {value}; "
                "name another --out"
            )
