"""A disk that forgets: of all that was written, only what was synced is still there.

Strict, as POSIX has it and not as one file system is kind enough to do: bytes count after an
fsync or fdatasync of their file that began when they were written (or a write through O_DSYNC),
names count after an fsync of their folder. `remains` is what a machine finds when it comes back.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

Write = tuple[str, int, bytes]  # "write", offset, bytes; or "size", length, b""
Naming = tuple[str, "Inode | None"]  # a name and what it stands for from then on


def _apply(content: bytearray, change: Write) -> None:
    kind, offset, data = change
    if kind == "size":
        del content[offset:]
        content.extend(bytes(offset - len(content)))
        return
    content.extend(bytes(max(offset + len(data) - len(content), 0)))
    content[offset : offset + len(data)] = data


@dataclass(slots=True, eq=False)
class Inode:
    """A file or a folder: what programs see, what is on the platter, and what is between."""

    is_folder: bool
    seen: bytearray = field(default_factory=bytearray)
    safe: bytearray = field(default_factory=bytearray)
    writes: list[Write] = field(default_factory=list)
    entries: dict[str, "Inode"] = field(default_factory=dict)
    safe_entries: dict[str, "Inode"] = field(default_factory=dict)
    namings: list[Naming] = field(default_factory=list)
    _count: int = 0

    def change(self, change: Write, *, through: bool = False) -> None:
        """Write or cut; `through`: safe at once (O_DSYNC)."""
        _apply(self.seen, change)
        self.writes.append(change)
        if through:
            self.sync(len(self.writes))

    def name(self, name: str, inode: "Inode | None") -> None:
        """Let the name stand for `inode`, or for nothing."""
        if inode is None:
            self.entries.pop(name, None)
        else:
            self.entries[name] = inode
        self.namings.append((name, inode))
        self._count += 1

    def unsafe(self) -> int:
        """Return how many changes wait: what a sync that begins now covers."""
        return len(self.namings if self.is_folder else self.writes)

    def sync(self, count: int) -> None:
        """Make the first `count` changes safe."""
        self._count += 1
        for name, inode in self.namings[:count]:
            if inode is None:
                self.safe_entries.pop(name, None)
            else:
                self.safe_entries[name] = inode
        for change in self.writes[:count]:
            _apply(self.safe, change)
        del self.namings[:count], self.writes[:count]

    def changes(self) -> int:
        """Return a number that grows with each naming under this folder and each sync."""
        below = sum(inode.changes() for inode in self.entries.values() if inode.is_folder)
        return self._count + below


def safe_copy(folder: Path) -> Inode:
    """Return a folder of the real disk, all of it safe. Links of one file stay one file."""
    return _copied(folder, {})


def _copied(path: Path, known: dict[int, Inode]) -> Inode:
    number = path.stat().st_ino
    if number in known:
        return known[number]
    inode = known[number] = Inode(is_folder=path.is_dir())
    if inode.is_folder:
        for entry in path.iterdir():
            inode.name(entry.name, _copied(entry, known))
    else:
        inode.change(("write", 0, path.read_bytes()))
    inode.sync(inode.unsafe())
    return inode


def files(root: Inode, *, safe: bool) -> Iterator[tuple[str, bytes]]:
    """Yield the path and content of each file under `root`: as seen, or as is safe."""
    for name, inode in (root.safe_entries if safe else root.entries).items():
        if inode.is_folder:
            for path, content in files(inode, safe=safe):
                yield f"{name}/{path}", content
        else:
            yield name, bytes(inode.safe if safe else inode.seen)


def remains(root: Inode, rng: random.Random | None = None) -> dict[str, bytes | None]:
    """Return what is left after a power cut: contents by path, None for a folder.

    Without `rng`, nothing that was not synced. With it, some of that too, as disks do: each
    change that waits survives or not, in any order, a write perhaps by its first part alone.
    """
    found: dict[str, bytes | None] = {}
    _walk(root, "", rng, found)
    return found


def _walk(
    folder: Inode, prefix: str, rng: random.Random | None, found: dict[str, bytes | None]
) -> None:
    entries = dict(folder.safe_entries)
    for name, inode in folder.namings if rng else ():
        if rng.random() < 0.5:
            if inode is None:
                entries.pop(name, None)
            else:
                entries[name] = inode
    for name, inode in entries.items():
        path = f"{prefix}{name}"
        if inode.is_folder:
            found[path] = None
            _walk(inode, path + "/", rng, found)
        else:
            found[path] = _content(inode, rng)


def _content(inode: Inode, rng: random.Random | None) -> bytes:
    content = bytearray(inode.safe)
    for kind, offset, data in inode.writes if rng else ():
        fate = rng.random()
        if fate < 0.3:
            _apply(content, (kind, offset, data))
        elif fate < 0.6 and kind == "write":
            _apply(content, (kind, offset, data[: rng.randrange(len(data) + 1)]))
    return bytes(content)
