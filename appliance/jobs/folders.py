"""Whether a pipeline's folder is still the one that a job was queued for."""

from pathlib import Path

from pipelines.manifest import digest

_Stamp = tuple[tuple[str, int, int, int], ...]


class Digests:
    """SHA-256 of folders, computed again only where a file's size or times changed."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[_Stamp, str]] = {}

    def of(self, folder: Path) -> str:
        """Return the folder's digest as `pipelines.manifest.digest` has it."""
        stamp = _stamp(folder)
        known = self._known.get(folder)
        if known is None or known[0] != stamp:
            known = (stamp, digest(folder))
            self._known[folder] = known
        return known[1]


def _stamp(folder: Path) -> _Stamp:
    return tuple(
        (str(path), status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        for path in sorted(folder.rglob("*"))
        if "__pycache__" not in path.parts and (status := path.stat())
    )
