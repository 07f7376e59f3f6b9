"""Folders for children: what they may write, and what they are lent to read.

    PARENT/tmp…/             of one executor; locked while it lives
        N/input/run/I/       the files of a run's inputs, which the child cannot change
        N/work/              all that the child may write: HOME, TMPDIR
        N/work/run-…/        the scratch folder of one run

What an executor that was killed left behind is swept away by the next one.
"""

import contextlib
import fcntl
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

_BLOCK = 512  # bytes; the unit of st_blocks, whatever the file system's is

Lent = Mapping[str, tuple[str, ...]]
"""The files of a run by input, as the child can read them."""


class Scratch:
    """The folders of one executor, under `parent` or where temporary files go."""

    def __init__(self, parent: Path | None) -> None:
        self._parent = parent
        self._held: tuple[Path, int] | None = None  # the folder, and the lock on it
        self._numbers = itertools.count(1)
        if parent is not None:
            parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with _locked(parent):
                sweep(parent)

    def room(self) -> "Room":
        """Return new folders for one child."""
        if self._held is None:
            self._held = _own(self._parent)
        return Room(self._held[0] / str(next(self._numbers)))

    def close(self) -> None:
        """Remove all of it; no child may run any more."""
        if self._held is not None:
            folder, lock = self._held
            self._held = None
            remove(folder)
            os.close(lock)


def _own(parent: Path | None) -> tuple[Path, int]:
    if parent is None:
        folder = Path(tempfile.mkdtemp(prefix="appliance-"))
        return folder, _lock(folder)
    with _locked(parent):  # nobody sweeps what is not locked yet
        folder = Path(tempfile.mkdtemp(dir=parent))
        return folder, _lock(folder)


class Room:
    """The folders of one child. Runs come one after the other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.inputs, self.work = folder / "input", folder / "work"
        self._home, self._temporary = self.work / "home", self.work / "tmp"
        for made in (self.inputs, self._home, self._temporary):
            made.mkdir(parents=True, mode=0o700)

    def environment(self) -> Mapping[str, str]:
        """Return the variables that make programs and libraries write here."""
        return {"HOME": str(self._home), "TMPDIR": str(self._temporary)}

    @contextlib.contextmanager
    def run(self, files: Mapping[str, tuple[Path, ...]]) -> Iterator[tuple[Path, Lent]]:
        """Yield an empty scratch folder and names under which the child can read `files`.

        Both are gone afterwards.
        """
        lent = self.inputs / "run"
        scratch = Path(tempfile.mkdtemp(prefix="run-", dir=self.work))
        try:
            yield scratch, _lend(lent, files)
        finally:
            for folder in (scratch, lent):
                shutil.rmtree(folder, ignore_errors=True)

    def written(self) -> int:
        """Return the bytes on the disk of all that the child wrote and did not remove."""
        sizes = 0
        for path, _, names in os.walk(self.work):
            for name in names:
                with contextlib.suppress(OSError):  # gone in between
                    sizes += (Path(path) / name).lstat().st_blocks * _BLOCK
        return sizes

    def remove(self) -> None:
        """Remove the folders; the child must not run any more."""
        remove(self._folder)


def _lend(folder: Path, files: Mapping[str, tuple[Path, ...]]) -> Lent:
    """Return the paths, in the same order, of links to `files`, or of copies from elsewhere."""
    lent: dict[str, tuple[str, ...]] = {}
    for number, (name, paths) in enumerate(files.items()):
        of_input = folder / str(number)
        of_input.mkdir(parents=True)
        # Two may be called the same: they come from different folders of the spool.
        links = [of_input / f"{place:06}-{path.name}" for place, path in enumerate(paths)]
        for path, link in zip(paths, links, strict=True):
            _link(path, link)
        lent[name] = tuple(map(str, links))
    return lent


def _link(path: Path, link: Path) -> None:
    try:
        os.link(path, link)
    except OSError:  # another file system, or a file of somebody else
        shutil.copyfile(path, link)


def sweep(parent: Path) -> None:
    """Remove the folders in `parent`, which is locked, of executors that run no more."""
    for folder in parent.iterdir():
        try:
            held = _lock(folder, fcntl.LOCK_NB)
        except OSError:
            continue  # in use, or no folder of ours
        remove(folder)
        os.close(held)


def remove(folder: Path) -> None:
    """Remove `folder`, also where it has folders that nobody may enter. None may write to it."""
    for path, names, _ in os.walk(folder):
        for name in names:
            if not (Path(path) / name).is_symlink():
                (Path(path) / name).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = _lock(folder)
    try:
        yield
    finally:
        os.close(descriptor)


def _lock(folder: Path, how: int = 0) -> int:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | how)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
