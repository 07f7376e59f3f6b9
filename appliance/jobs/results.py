"""Encoded objects become files that a power cut can't lose, before the store hears of them."""

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

from appliance.core.model import ResultObject
from pipelines.encode import EncodedObject


def write_object(root: Path, run_uid: str, encoded: EncodedObject) -> ResultObject:
    """Return the object as a file under `root`, fsynced, its folders too.

    The name holds the content's hash: a worker that lost its job can never replace a file that
    another one committed, and the same bytes are written once.
    """
    digest = hashlib.sha256(encoded.data).hexdigest()
    folder = _folder(root, run_uid)
    path = folder / f"{encoded.kind}-{digest[:16]}.dcm"
    _write(path, encoded.data)
    return ResultObject(
        kind=str(encoded.kind),
        sop_class_uid=encoded.sop_class_uid,
        sop_instance_uid=encoded.sop_instance_uid,
        series_instance_uid=encoded.series_instance_uid,
        series_description=encoded.series_description,
        path=path.relative_to(root).as_posix(),
        sha256=digest,
        size=len(encoded.data),
    )


def keep_only(root: Path, run_uid: str, objects: tuple[ResultObject, ...]) -> None:
    """Remove what other attempts of the run left. Only after these objects were committed."""
    kept = {root / item.path for item in objects}
    with contextlib.suppress(OSError):  # what stays only takes room
        for path in _folder(root, run_uid).iterdir():
            if path not in kept:
                path.unlink()


def _folder(root: Path, run_uid: str) -> Path:
    first = hashlib.sha256(run_uid.encode()).hexdigest()[:2]
    return root / first / run_uid


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
    for folder in (path.parent, path.parent.parent, path.parent.parent.parent):
        _fsync_folder(folder)


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
