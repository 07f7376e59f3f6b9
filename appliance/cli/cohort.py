"""How far a cohort is, on the terminal or line by line in a log, and what came of it."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from appliance.cli.common import console, errors, printable
from appliance.trial.cohort import Ended, StudyDone
from appliance.trial.listing import Listing
from appliance.wiring.cohort import CohortDone

_MOST_NAMED = 5
_EVERY = 1000  # files between two words about the search


class Watcher:
    """Says how many studies ended how, and how long the rest will take."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._bar = None if progress is None else progress.add_task("looking for studies")
        self._counts: Counter[Ended] = Counter()
        self._waiting = 0
        self._seconds = 0.0

    def listing(self, files: int) -> None:
        """Say how many files were looked at, now and then."""
        if files % _EVERY == 0:
            self._say(f"looking for studies: {files} files")

    def listed(self, listing: Listing, waiting: int) -> None:
        """Say what is to be done."""
        self._waiting = waiting
        settled = len(listing.studies) - waiting
        errors.print(f"{len(listing.studies)} studies, {settled} of them settled before")
        for place in listing.absent[:_MOST_NAMED]:
            errors.print(f"not there: {place}", style="red", markup=False, soft_wrap=True)
        if len(listing.absent) > _MOST_NAMED:
            errors.print(f"not there: {len(listing.absent) - _MOST_NAMED} more", style="red")
        if listing.unreadable:
            errors.print(f"{listing.unreadable} files are no DICOM, and left out")
        if self._progress is not None and self._bar is not None:
            self._progress.update(self._bar, total=waiting)

    def tell(self, done: float, phase: str) -> None:
        """Say what is done with the study that is run now."""
        if self._progress is not None and self._bar is not None:
            words = f"{self._words()}; {printable(phase)} {done:.0%}"
            self._progress.update(self._bar, description=words)

    def settled(self, study: StudyDone) -> None:
        """Say how a study ended, where it gave no result, and how long the rest will take."""
        self._counts[study.ended] += 1
        self._seconds += study.seconds
        done = self._counts.total()
        if self._progress is None or study.ended is not Ended.DONE:
            why = f": {study.reason}" if study.reason else ""
            left = timedelta(seconds=round((self._waiting - done) * self._seconds / done))
            errors.print(
                printable(
                    f"{done} of {self._waiting} {study.ended.value} {study.study_instance_uid} "
                    f"in {study.seconds:.1f} s{why}; {self._words()}; about {left} left"
                ),
                markup=False,
                soft_wrap=True,
            )
        if self._progress is not None and self._bar is not None:
            self._progress.update(self._bar, completed=done, description=self._words())

    def _words(self) -> str:
        return ", ".join(f"{self._counts[ended]} {ended.value}" for ended in Ended)

    def _say(self, text: str) -> None:
        if self._progress is not None and self._bar is not None:
            self._progress.update(self._bar, description=text)
        else:
            errors.print(text)


@contextmanager
def watching() -> Iterator[Watcher]:
    """Yield who tells: a bar on a terminal, else a line a study."""
    if not errors.is_terminal:
        yield Watcher(None)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=errors) as progress:
        yield Watcher(progress)


def print_done(done: CohortDone) -> None:
    """Print how many studies ended how, and where the results are."""
    words = ", ".join(f"{done.counts[ended.value]} {ended.value}" for ended in Ended)
    console.print(f"{done.counts.total()} studies: {words}. Nothing was sent.")
    for path in done.tables:
        console.print(str(path), markup=False, soft_wrap=True)
