"""What a program left in its output folder: plain files, so many, so deep, so large."""

import itertools
import os
import stat
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from appliance.core.errors import PermanentPipelineError
from appliance.core.quantities import format_size

MAX_FILES = 2000
MAX_DEPTH = 8
_MAX_NAME = 80  # characters of a program's own file name in a message
_PREAMBLE = 128


class Outputs:
    """The files of the folder, looked at once, after nothing runs any more that could write.

    Raises PermanentPipelineError for a folder that is not as it should be.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        if folder.is_symlink() or not folder.is_dir():
            raise PermanentPipelineError("its output folder is no folder any more")
        self._folder = folder
        self._sizes = dict(_walk(folder))
        size = sum(self._sizes.values())
        if size > limit:
            raise PermanentPipelineError(
                f"it wrote {format_size(size)} of output, more than its limit of "
                f"{format_size(limit)} (command.output_size)"
            )

    def __len__(self) -> int:
        return len(self._sizes)

    def one(self, pattern: str) -> str:
        """Return the name of the one file that `pattern` names."""
        found = [name for name in self._sizes if fnmatchcase(name, pattern)]
        if len(found) == 1:
            return found[0]
        how_many = f"{len(found)} files are called so" if found else "there is no such file"
        raise PermanentPipelineError(f"{pattern} in its output: {how_many}; one is needed")

    def path(self, name: str) -> Path:
        """Return where the file is."""
        return self._folder / name

    def read(self, name: str) -> bytes:
        """Return the file's bytes."""
        return _read(self._folder / name, self._sizes[name])

    def dicom(self) -> Iterator[tuple[str, bytes]]:
        """Yield name and bytes of each file that is DICOM by its preamble or calls itself so."""
        for name in sorted(self._sizes):
            path = self._folder / name
            if name.lower().endswith(".dcm") or _read(path, _PREAMBLE + 4)[_PREAMBLE:] == b"DICM":
                yield spoken(name), self.read(name)


def spoken(name: str) -> str:
    """Return a program's own file name as it may stand in a message."""
    plain = "".join(
        c if c.isprintable() else "?" for c in os.fsencode(name).decode(errors="replace")
    )
    return plain if len(plain) <= _MAX_NAME else "…" + plain[1 - _MAX_NAME :]


def has_entries(folder: Path) -> bool:
    """Return whether anything lies in the folder, or something else in its place."""
    try:
        return next(folder.iterdir(), None) is not None
    except OSError:
        return True


def _walk(root: Path) -> Iterator[tuple[str, int]]:
    """Yield name below `root` and size of every file. Raises PermanentPipelineError."""
    count = 0
    waiting = [root]
    while waiting:
        for path in sorted(_entries(waiting.pop())):
            count += 1
            if count > MAX_FILES:
                raise PermanentPipelineError(f"it wrote more than {MAX_FILES} files and folders")
            name = path.relative_to(root)
            status = path.lstat()
            if len(name.parts) > MAX_DEPTH:
                raise PermanentPipelineError(f"its output is more than {MAX_DEPTH} folders deep")
            if stat.S_ISDIR(status.st_mode):
                waiting.append(path)
            elif stat.S_ISREG(status.st_mode):
                yield name.as_posix(), status.st_size
            else:
                what = "a link" if stat.S_ISLNK(status.st_mode) else "no plain file"
                raise PermanentPipelineError(f"{spoken(name.as_posix())} in its output is {what}")


def _entries(folder: Path) -> list[Path]:
    try:
        return list(itertools.islice(folder.iterdir(), MAX_FILES + 1))
    except OSError as error:
        raise _unreadable(folder, error) from None


def _read(path: Path, limit: int) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            return file.read(limit)
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> PermanentPipelineError:
    return PermanentPipelineError(
        f"{spoken(path.name)} in its output cannot be read: {error.strerror}"
    )
