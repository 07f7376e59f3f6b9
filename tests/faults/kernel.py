"""Follows a trace on a model of the disk: descriptors, paths, writes, syncs, and what was sent."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.faults.disk import Inode
from tests.faults.trace import Call

_SENDS = frozenset({"sendto", "sendmsg", "write", "writev"})
_SYNCS = frozenset({"fsync", "fdatasync"})
_CLONES = frozenset({"clone", "clone3", "fork", "vfork"})


class Untraceable(Exception):
    """The program changes files by a way that this model does not know."""


@dataclass(slots=True, eq=False)
class _Open:
    """What a descriptor stands for; copies of the descriptor share it."""

    inode: Inode
    position: int = 0
    appends: bool = False
    through: bool = False


@dataclass(slots=True, eq=False)
class _Table:
    """The descriptors of a process; its threads share it."""

    descriptors: dict[int, _Open] = field(default_factory=dict)


class Kernel:
    """Keeps the model of the folder `root` up to date. `sent` is told all that goes elsewhere.

    `before` is the folder as it was when the trace began; without it, empty.
    """

    def __init__(
        self, root: str, sent: Callable[[bytes], None], before: Inode | None = None
    ) -> None:
        self.root = before or Inode(is_folder=True)
        self._path = os.path.realpath(root).encode()
        self._sent = sent
        self._tables: dict[int, _Table] = {}
        self._forking: list[tuple[int, str]] = []
        self._syncing: dict[int, list[tuple[Inode, int]]] = {}

    # -- beginnings -----------------------------------------------------------------------

    def begin(self, call: Call) -> None:
        """A call begins: a sync covers what was written until now; what is sent is on its way."""
        if call.name in _SYNCS:
            opened = self._opened(call)
            if opened is not None:
                self._syncing[call.process] = [(opened.inode, opened.inode.unsafe())]
        elif call.name in ("sync", "syncfs"):
            self._syncing[call.process] = [(i, i.unsafe()) for i in _all(self.root)]
        elif call.name in _SENDS and self._opened(call) is None:
            self._sent(b"".join(call.strings()))
        elif call.name in _CLONES:
            self._forking.append((call.process, call.arguments))
        elif call.name == "close":
            # Its number is free before its end is seen: another thread may have it by then.
            self._table(call.process).descriptors.pop(int(call.numbers()[0]), None)
        elif call.name == "io_uring_setup":
            raise Untraceable(call.name)

    def _table(self, process: int) -> _Table:
        if process not in self._tables:
            self._tables[process] = (
                self._inherited(*self._forking[-1]) if self._forking else _Table()
            )
        return self._tables[process]

    def _inherited(self, parent: int, arguments: str) -> _Table:
        table = self._tables.setdefault(parent, _Table())
        return table if "CLONE_FILES" in arguments else _Table(dict(table.descriptors))

    def _opened(self, call: Call) -> _Open | None:
        first = call.numbers()[0]
        table = self._table(call.process)
        return table.descriptors.get(int(first)) if first.lstrip("-").isdigit() else None

    # -- endings --------------------------------------------------------------------------

    def end(self, call: Call) -> None:
        """A call has ended well."""
        if call.process in self._syncing and call.name in {*_SYNCS, "sync", "syncfs"}:
            for inode, count in self._syncing.pop(call.process):
                inode.sync(count)
        elif call.name in _CLONES:
            self._cloned(call)
        elif change := getattr(self, f"_{call.name}", None):
            change(call)

    def _cloned(self, call: Call) -> None:
        self._forking = [one for one in self._forking if one[0] != call.process]
        if call.result not in self._tables and call.result:
            self._tables[call.result] = self._inherited(call.process, call.arguments)

    def _openat(self, call: Call) -> None:
        flags = call.plain()
        where = self._locate(call, 0)
        descriptors = self._table(call.process).descriptors
        assert call.result is not None
        descriptors.pop(call.result, None)
        if where is None:
            return
        folder, name = where
        inode = folder.entries.get(name) if name else folder
        if inode is None:
            inode = Inode(is_folder=False)
            folder.name(name, inode)
        elif "O_TRUNC" in flags and inode.seen:
            inode.change(("size", 0, b""))
        through = "O_DSYNC" in flags or "O_SYNC" in flags
        descriptors[call.result] = _Open(inode, appends="O_APPEND" in flags, through=through)

    def _open(self, call: Call) -> None:
        self._openat(call)

    _creat = _open

    def _dup(self, call: Call) -> None:
        opened = self._opened(call)
        assert call.result is not None
        self._table(call.process).descriptors.pop(call.result, None)
        if opened is not None:
            self._table(call.process).descriptors[call.result] = opened

    _dup2 = _dup3 = _dup

    def _fcntl(self, call: Call) -> None:
        if "F_DUPFD" in call.arguments:
            self._dup(call)

    def _lseek(self, call: Call) -> None:
        if opened := self._opened(call):
            assert call.result is not None
            opened.position = call.result

    def _write(self, call: Call) -> None:
        opened = self._opened(call)
        if opened is None:
            return
        data = b"".join(call.strings())[: call.result]
        if opened.appends:
            opened.position = len(opened.inode.seen)
        opened.inode.change(("write", opened.position, data), through=opened.through)
        opened.position += len(data)

    _writev = _write

    def _pwrite64(self, call: Call) -> None:
        self._write_at(call, int(call.numbers()[3]))

    def _pwritev(self, call: Call) -> None:
        self._write_at(call, int(call.arguments.rpartition("]")[2].split(",")[2]))

    def _pwritev2(self, call: Call) -> None:
        self._write_at(call, int(call.arguments.rpartition("]")[2].split(",")[2]))

    def _write_at(self, call: Call, offset: int) -> None:
        if opened := self._opened(call):
            data = b"".join(call.strings())[: call.result]
            through = opened.through or "RWF_DSYNC" in call.arguments
            opened.inode.change(("write", offset, data), through=through)

    def _ftruncate(self, call: Call) -> None:
        if opened := self._opened(call):
            opened.inode.change(("size", int(call.numbers()[1]), b""))

    def _fallocate(self, call: Call) -> None:
        opened = self._opened(call)
        if opened is None:
            return
        _, mode, offset, length = call.numbers()
        if mode != "0":
            raise Untraceable(f"fallocate with mode {mode}")
        end = int(offset) + int(length)
        if end > len(opened.inode.seen):
            opened.inode.change(("size", end, b""))

    def _sendfile(self, call: Call) -> None:
        if self._opened(call):
            raise Untraceable(call.name)

    _splice = _copy_file_range = _sendfile

    # -- names ----------------------------------------------------------------------------

    def _mkdir(self, call: Call) -> None:
        if where := self._locate(call, 0):
            folder, name = where
            folder.name(name, Inode(is_folder=True))

    _mkdirat = _mkdir

    def _link(self, call: Call) -> None:
        source, target = self._locate(call, 0), self._locate(call, 1)
        if target is not None:
            if source is None:
                raise Untraceable("a link from outside")
            target[0].name(target[1], source[0].entries[source[1]])

    _linkat = _link

    def _rename(self, call: Call) -> None:
        source, target = self._locate(call, 0), self._locate(call, 1)
        if target is not None:
            if source is None:
                raise Untraceable("a rename from outside")
            inode = source[0].entries[source[1]]
            target[0].name(target[1], inode)
            source[0].name(source[1], None)

    _renameat = _renameat2 = _rename

    def _unlink(self, call: Call) -> None:
        if where := self._locate(call, 0):
            where[0].name(where[1], None)

    _unlinkat = _rmdir = _unlink

    def _locate(self, call: Call, which: int) -> tuple[Inode, str] | None:
        """Return the folder and the name of a path under `root`; the name is empty for `root`."""
        path = call.strings()[which]
        start = self.root
        if path.startswith(b"/"):
            if path != self._path and not path.startswith(self._path + b"/"):
                return None
            path = path[len(self._path) :]
        else:
            opened = self._base(call, which)
            if opened is None:
                return None
            start = opened.inode
        parts = [part.decode() for part in path.split(b"/") if part not in (b"", b".")]
        for part in parts[:-1]:
            if part not in start.entries:
                return None
            start = start.entries[part]
        return start, parts[-1] if parts else ""

    def _base(self, call: Call, which: int) -> _Open | None:
        """Return the folder that a relative path begins at: the descriptor before the path."""
        before = call.plain().split('""')[which].split(",")
        words = [word.strip() for word in before if word.strip()]
        if not words or not words[-1].isdigit():
            return None
        return self._table(call.process).descriptors.get(int(words[-1]))


def _all(folder: Inode) -> list[Inode]:
    found = [folder]
    for inode in folder.entries.values():
        found += _all(inode) if inode.is_folder else [inode]
    return found
