"""The spool: received instances as files, and the only place that knows how they lie.

    tmp/<process>/…          being received, or durable and on its way to `new` (`scp.landing`);
                             swept when nobody holds the folder's lock
    new/<name>               durable, not yet indexed: the hand-over to intake
    images/<aa>/<name>.dcm   indexed; <aa> are the first two digits of the name
    quarantine/<name>.dcm    of no use, with <name>.txt that says why
    quarantine/half-<x>.part half received, likewise

`<name>` is a hash (see `spool_name`): no path is ever built from what a peer sent. Entries are
placed by link(2), so two processes cannot both win, and a file is never seen half written.
"""

import mmap
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from appliance.core.crashpoints import CrashPoint, crash_point
from appliance.core.errors import BadInstance
from appliance.core.model import ReceivedInstance
from scp import filemeta
from scp.checksum import NONE
from scp.filemeta import Provenance
from scp.head import identify
from scp.incoming import IncomingInstance, described, spool_name
from scp.integrity import is_sound
from scp.page import Pages
from scp.scratch import Kind, Scratch, sync_folder

_MOST_HALVES = 100  # kept; the oldest goes first
_HALF = "half received when its process ended; nobody was answered success for it\n"
_WAITS = 16  # for the disk at one time
_NAME = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolFile:
    """A spool file while it is open."""

    received: ReceivedInstance
    data: mmap.mmap  # the whole file
    start: int  # where the data set begins


class Spool:
    """The spool under `root`; folders that are missing are made. Safe in several processes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.pages = Pages()
        self._temporary = root / "tmp"
        self._new = root / "new"
        self._images = root / "images"
        self._quarantine = root / "quarantine"
        for folder in (self._temporary, self._new, self._images, self._quarantine):
            folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        for folder in (self._images, root, root.parent):
            sync_folder(folder)
        self._scratch = Scratch(self._temporary)

    # -- receiving ------------------------------------------------------------------------

    def writer(self, provenance: Provenance) -> IncomingInstance:
        """Return a new instance to be written; nothing is on the disk yet."""
        return IncomingInstance(provenance, self)

    def holds(self, name: str) -> bool:
        """Return whether the instance is here, indexed or not."""
        # Asked for each image while its sender waits: os.path takes a tenth of pathlib's time.
        image = os.path.join(self._images, _checked(name)[:2], f"{name}.dcm")  # noqa: PTH118
        return os.path.exists(image) or os.path.exists(os.path.join(self._new, name))  # noqa: PTH110, PTH118

    def new_path(self, kind: Kind = Kind.ONLY) -> Path:
        """Return a path for a temporary file of this process."""
        return self._scratch.new_path(kind)

    def keep(self, incoming: IncomingInstance, instance: ReceivedInstance) -> bool:
        """Make a durable entry of the instance; return False if there was one already.

        Raises OSError where the disk refuses: then nothing was promised.
        """
        name, is_new = instance.spool_name, False
        if not self.holds(name):
            temporary = incoming.as_file(durable=True)
            crash_point(CrashPoint.SPOOL_BEFORE_LINK)
            is_new = self.place(temporary, name)
            crash_point(CrashPoint.SPOOL_AFTER_LINK)
        self.make_durable()  # for a duplicate too: its first copy may be just linked
        return is_new

    def place(self, temporary: Path, name: str) -> bool:
        """Link the finished file as a new entry; return False if there was one."""
        try:
            os.link(temporary, self._new / _checked(name))
        except FileExistsError:
            return False
        return True

    def make_durable(self) -> None:
        """Return when every entry placed before is on the disk."""
        sync_folder(self._new)

    def free_bytes(self) -> int:
        """Return how much we may still write."""
        state = os.statvfs(self.root)
        return state.f_bavail * state.f_frsize

    def sweep(self) -> tuple[ReceivedInstance, ...]:
        """File what processes that are gone left whole; return that. Raises OSError.

        A sender may have been answered success for it. What they left half received was answered
        by nothing, so its sender sends it again; it is kept in quarantine for who looks into what
        happened.
        """
        filed: list[ReceivedInstance] = []

        def save(paths: Sequence[Path]) -> None:
            filed.extend(instance for path in paths if (instance := self._saved(path)))
            self.make_durable()

        self._scratch.sweep(save)
        return tuple(filed)

    def _saved(self, path: Path) -> ReceivedInstance | None:
        """Return what was filed now; None where it was already, or is not whole or empty."""
        if path.stat().st_size == 0:  # made in advance
            return None
        try:
            instance = _whole(path)
        except BadInstance:
            self._set_half_aside(path)
            return None
        if self.holds(instance.spool_name) or not self.place(path, instance.spool_name):
            return None
        return instance

    def _set_half_aside(self, path: Path) -> None:
        halves = sorted(self._quarantine.glob("half-*.part"), key=lambda half: half.stat().st_mtime)
        for old in halves[: max(0, len(halves) + 1 - _MOST_HALVES)]:
            old.unlink()
            old.with_suffix(".txt").unlink(missing_ok=True)
        half = self._quarantine / f"half-{token_hex(8)}.part"
        half.with_suffix(".txt").write_text(_HALF)
        path.rename(half)

    # -- handing over ---------------------------------------------------------------------

    def new_entries(self) -> tuple[str, ...]:
        """Return the names that wait for intake, oldest first."""
        found = []
        with os.scandir(self._new) as entries:
            for entry in entries:
                if _NAME.fullmatch(entry.name):
                    with suppress(FileNotFoundError):  # finished by another process just now
                        found.append((entry.stat().st_mtime_ns, entry.name))
        return tuple(name for _, name in sorted(found))

    def adopt(self, name: str) -> None:
        """Give the entry its lasting place; a second time does nothing. Raises BadInstance."""
        sync_folder(self._adopt(name))

    def adopt_all(self, names: Iterable[str]) -> None:
        """Give each entry its lasting place, with one wait for the disk for all of a folder.

        The waits are side by side: the file system then makes many folders durable in one go,
        ten times as fast as one after another (measured on ext4: 220 folders in 22 ms, not 230).

        Raises BadInstance for one that is not here, OSError where the disk refuses; some of the
        others may have been adopted then, and doing it again does no harm.
        """
        folders = {self._adopt(name) for name in names}
        with ThreadPoolExecutor(_WAITS) as pool:
            for _ in pool.map(sync_folder, folders):
                pass  # raises what one of them did

    def _adopt(self, name: str) -> Path:
        """Link the entry to its lasting place; return the folder, which is not yet durable."""
        target = self._image(name)
        if not target.parent.exists():
            target.parent.mkdir(mode=0o750, exist_ok=True)
            sync_folder(self._images)
        _link(self._new / name, target)
        return target.parent

    def finish(self, name: str) -> None:
        """End the hand-over: intake has indexed and adopted the entry."""
        (self._new / _checked(name)).unlink(missing_ok=True)

    def quarantine(self, name: str, reason: str) -> None:
        """Take an entry out of the way, and write down why. Raises BadInstance."""
        source = self.path(name)
        (self._quarantine / f"{name}.txt").write_text(reason + "\n")  # never one without
        _link(source, self._quarantine / f"{name}.dcm")
        sync_folder(self._quarantine)
        self.remove(name)

    def quarantined(self) -> tuple[str, ...]:
        """Return the names of entries in quarantine."""
        return tuple(sorted(path.stem for path in self._quarantine.glob("*.dcm")))

    def remove(self, name: str) -> None:
        """Delete an instance; whether that is allowed is the caller's knowledge."""
        self._image(name).unlink(missing_ok=True)
        self.finish(name)

    # -- reading --------------------------------------------------------------------------

    def path(self, name: str) -> Path:
        """Return the instance's file. Raises BadInstance where there is none."""
        for path in (self._image(name), self._new / name):
            if path.exists():
                return path
        raise BadInstance(f"{name} is not in the spool")

    def read(self, name: str) -> ReceivedInstance:
        """Return what the file's meta group and UIDs tell. Raises as `opened` does."""
        with self.opened(name) as file:
            return file.received

    @contextmanager
    def opened(self, name: str) -> Iterator[SpoolFile]:
        """Yield the file, mapped into memory, and what its meta group and UIDs tell.

        Raises BadInstance where they tell nothing; OSError where the disk does not give the file
        now, which says nothing about the instance.
        """
        with _mapped(self.path(name)) as data:
            provenance, start = filemeta.decode(data)
            identity = identify(data, start, provenance.transfer_syntax_uid)
            received = described(name, provenance, identity, len(data))
            yield SpoolFile(received=received, data=data, start=start)

    def all_names(self) -> frozenset[str]:
        """Return every instance that is here, indexed or not."""
        adopted = (name for _, names in self.adopted_names() for name in names)
        return frozenset(adopted) | frozenset(self.new_entries())

    def adopted_names(self) -> Iterator[tuple[str, frozenset[str]]]:
        """Yield the names of adopted instances a folder at a time, since there may be millions.

        With them the digits that all names of the folder begin with.
        """
        for folder in sorted(self._images.glob("??")):
            names = (path.stem for path in folder.glob("*.dcm"))
            yield folder.name, frozenset(filter(_NAME.fullmatch, names))

    def _image(self, name: str) -> Path:
        return self._images / _checked(name)[:2] / f"{name}.dcm"


def _mapped(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        try:
            return mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        except ValueError as error:  # an empty file cannot be mapped
            raise BadInstance(f"{path.name} cannot be read: {error}") from error


def _whole(path: Path) -> ReceivedInstance:
    """Return what the file holds, which is durable then. Raises BadInstance if it is not whole."""
    with _mapped(path) as data:
        provenance, start = filemeta.decode(data)
        if provenance.checksum == NONE:
            raise BadInstance(f"{path.name} was not received to its end")
        if not is_sound(path, provenance.checksum):
            raise BadInstance(f"{path.name} is not what was received")
        identity = identify(data, start, provenance.transfer_syntax_uid)
        name = spool_name(identity, provenance.checksum)
        return described(name, provenance, identity, len(data))


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileExistsError:
        pass  # a crash came between linking and finishing
    except FileNotFoundError:
        if not target.exists():
            raise BadInstance(f"{target.stem} is not in the spool") from None


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of the spool")
    return name
