"""A pipeline's folder as it is now: whether it is still what a job was queued for."""

from dataclasses import dataclass
from pathlib import Path

from pipelines.manifest import Manifest, digest, load_manifest

_Stamp = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    stamp: _Stamp
    digest: str
    manifest: Manifest


class Folders:
    """Digests and manifests of folders, made again only where a file's size or times changed."""

    def __init__(self) -> None:
        self._known: dict[Path, _Seen] = {}

    def digest_of(self, folder: Path) -> str:
        """Return the folder's digest as `pipelines.manifest.digest` has it."""
        return self._seen(folder).digest

    def manifest_of(self, folder: Path) -> Manifest:
        """Return the folder's manifest. Raises ConfigError."""
        return self._seen(folder).manifest

    def _seen(self, folder: Path) -> _Seen:
        stamp = _stamp(folder)
        known = self._known.get(folder)
        if known is None or known.stamp != stamp:
            known = _Seen(stamp=stamp, digest=digest(folder), manifest=load_manifest(folder))
            self._known[folder] = known
        return known


def _stamp(folder: Path) -> _Stamp:
    return tuple(
        (str(path), status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        for path in sorted(folder.rglob("*"))
        if "__pycache__" not in path.parts and (status := path.stat())
    )
