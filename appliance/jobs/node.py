"""What runs on a node of a cluster: one pipeline's folder, unpacked, in a warm child.

Imports nothing of Ray: the cluster makes an actor of `Runner`.
"""

import io
import queue
import shutil
import tarfile
import tempfile
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from appliance.core.clock import SystemClock
from appliance.core.errors import ApplianceError, ConfigError
from appliance.jobs.local import LocalExecutor, Outcome, Task
from pipelines.manifest import digest
from pipelines.wire import Failed, Progress, failed


def pack_folder(folder: Path) -> bytes:
    """Return the files of a pipeline's folder as a tar archive, caches left out."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                tar.add(path, arcname=path.relative_to(folder).as_posix(), recursive=False)
    return archive.getvalue()


class Runner:
    """One pipeline on this node. `run` is called by one caller at a time, `stop` beside it."""

    def __init__(self, archive: bytes, expected_digest: str) -> None:
        """Unpack the folder. Raises ConfigError where it is not the one that was sent."""
        self._root = Path(tempfile.mkdtemp(prefix="appliance-node-"))
        self._folder = self._root / "pipeline"
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(self._folder, filter="data")
        found = digest(self._folder)
        if found != expected_digest:
            raise ConfigError(f"the folder came as {found[:12]}, not {expected_digest[:12]}")
        (self._root / "scratch").mkdir()
        self._executor = LocalExecutor(
            warm_children=1, clock=SystemClock(), scratch=self._root / "scratch"
        )
        # The thread that starts a child must outlive it: the child dies with that thread.
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._stopping = threading.Event()

    def run(
        self, portable: tuple[Task, Mapping[str, tuple[bytes, ...]]]
    ) -> Iterator[Progress | Failed | Outcome]:
        """Yield how far the run is, then its outcome or its error; nothing if it was stopped."""
        self._stopping.clear()
        task, contents = portable
        with tempfile.TemporaryDirectory(prefix="images-", dir=self._root) as images:
            own = replace(
                task,
                pipeline=replace(task.pipeline, folder=self._folder),
                files=_written(contents, Path(images)),
            )
            said: queue.SimpleQueue[Progress | None] = queue.SimpleQueue()
            future = self._thread.submit(self._run, own, said)
            future.add_done_callback(lambda _: said.put(None))
            while (progress := said.get()) is not None:
                yield progress
            yield from _ending(future)

    def _run(self, task: Task, said: "queue.SimpleQueue[Progress | None]") -> Outcome | None:
        return self._executor.run(
            task,
            on_progress=lambda done, text: said.put(Progress(fraction=done, text=text)),
            cancelled=self._stopping.is_set,
        )

    def stop(self) -> None:
        """Stop what runs; nobody wants it any more."""
        self._stopping.set()

    def __ray_terminate__(self) -> None:  # pragma: no cover -- called on the node alone
        """Leave nothing behind."""
        self._thread.submit(self._executor.close).result()
        shutil.rmtree(self._root, ignore_errors=True)


def _ending(future: "Future[Outcome | None]") -> Iterator[Failed | Outcome]:
    try:
        outcome = future.result()
    except ApplianceError as error:
        yield failed(error)
    else:
        if outcome is not None:
            yield outcome


def _written(
    contents: Mapping[str, tuple[bytes, ...]], folder: Path
) -> Mapping[str, tuple[Path, ...]]:
    """Write the images under names of our own; their order is what tells them apart."""
    found: dict[str, tuple[Path, ...]] = {}
    for number, (name, files) in enumerate(contents.items()):
        paths = tuple(folder / f"{number:02d}-{place:06d}.dcm" for place in range(len(files)))
        for path, data in zip(paths, files, strict=True):
            path.write_bytes(data)
        found[name] = paths
    return found
