"""The demo's stage: a folder, free ports, settings, the PACS and the appliance's processes."""

import contextlib
import os
import socket
import string
import subprocess
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from tempfile import mkdtemp

from appliance.core.errors import ApplianceError
from appliance.demo.pacs import StandInPacs

_STOP_SECONDS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Everything that the demo started."""

    folder: Path
    config: Path
    log: Path
    pacs: StandInPacs
    receiver_port: int
    process: subprocess.Popen[bytes]

    def require_alive(self) -> None:
        """Raise ApplianceError, with the end of its log, if the appliance has ended."""
        code = self.process.poll()
        if code is not None:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-8:])
            raise ApplianceError(f"the appliance ended with code {code}; its last words:\n{tail}")


@contextlib.contextmanager
def work_folder(keep: Path | None, named: Collection[Path]) -> Iterator[Path]:
    """Yield `keep`, which stays, or a scratch folder, which goes but for the files in `named`."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.resolve()
        return
    folder = Path(mkdtemp(prefix="appliance-demo-"))
    try:
        yield folder
    finally:
        _clear(folder, named)


@contextlib.contextmanager
def set_up(folder: Path) -> Iterator[Stage]:
    """Start the PACS and the appliance in `folder`; stop both at the end."""
    stored = folder / "pacs"
    stored.mkdir(exist_ok=True)
    pacs = StandInPacs(stored)
    receiver_port, web_port = _free_ports(2)
    config = folder / "appliance.yaml"
    shipped = Path(str(files("appliance.demo"))) / "config"
    template = (shipped / "demo.yaml").read_text()
    config.write_text(
        string.Template(template).substitute(
            data_dir=folder / "data",
            pacs_port=pacs.port,
            receiver_port=receiver_port,
            web_port=web_port,
            forms=shipped / "forms",
        )
    )
    log = folder / "appliance.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "appliance", "run", "--config", str(config)],
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C reaches the demo alone, which then stops it in order
        )
    try:
        yield Stage(
            folder=folder,
            config=config,
            log=log,
            pacs=pacs,
            receiver_port=receiver_port,
            process=process,
        )
    finally:
        _end(process)
        pacs.stop()


def _clear(folder: Path, named: Collection[Path]) -> None:
    for root, _, files_there in os.walk(folder, topdown=False):
        for path in (Path(root, name) for name in files_there):
            if path not in named:
                path.unlink()
        with contextlib.suppress(OSError):  # not empty
            Path(root).rmdir()


def is_open(port: int) -> bool:
    """Return whether something listens on this port of loopback."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
