"""Real DICOM nodes and tools of others, started by the tests on loopback.

    with orthanc(tmp_path, modalities={"APPLIANCE": 11112}) as pacs:
        storescu(pacs.port, paths, called="ORTHANC")
        assert len(pacs.instances()) == 3

Orthanc listens on all addresses whatever it is told, so `DicomCheckModalityHost` is on. It takes
3.5 seconds to stop and loses nothing when it is killed: `orthanc` kills it.
"""

import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import requests

HOST = "127.0.0.1"


def wait_until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Return as soon as `condition()` is true. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"still false after {seconds} s: {condition}")
        time.sleep(0.01)


def free_port() -> int:
    """Return a TCP port of the loopback interface on which nobody listens now.

    No port twice, and none that the kernel gives to whoever connects: a server that is started
    again finds its port free.
    """
    while True:
        port = next(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((HOST, port))
            return port


def _ports() -> Iterator[int]:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = range(10_000, max(lowest, 20_000))
    start = os.getpid() * 7919  # processes that run side by side begin far from each other
    return (ports[(start + number) % len(ports)] for number in itertools.count())


_PORTS = _ports()


def listens(port: int) -> bool:
    """Return whether somebody accepts connections on the loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


def tool(name: str) -> str:
    """Return the path of an installed program. Raises with what to install."""
    for folder in (None, "/usr/sbin:/usr/local/sbin"):
        if found := shutil.which(name, path=folder):
            return found
    raise FileNotFoundError(
        f"{name} is missing: apt-get install dcmtk dicom3tools orthanc orthanc-dicomweb"
    )


def run_tool(name: str, *arguments: str | Path, seconds: float = 60) -> str:
    """Return what the program prints. Raises AssertionError with it when the exit code is not 0."""
    done = subprocess.run(
        [tool(name), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, f"{name} exited {done.returncode}: {done.stdout}"
    return done.stdout


def storescu(
    port: int,
    paths: Sequence[Path],
    *,
    calling: str = "STORESCU",
    called: str = "APPLIANCE",
    options: Sequence[str] = (),
) -> str:
    """Send files with DCMTK; all files or folders in one association."""
    addressed = ["-aet", calling, "-aec", called, *options, HOST, str(port)]
    folders = ["+sd", "+r"] if any(path.is_dir() for path in paths) else []
    return run_tool("storescu", *folders, *addressed, *paths)


def echoscu(port: int, *, calling: str = "ECHOSCU", called: str = "APPLIANCE") -> str:
    """C-ECHO with DCMTK."""
    return run_tool("echoscu", "-aet", calling, "-aec", called, HOST, str(port))


def findscu(port: int, *keys: str, calling: str = "FINDSCU", called: str = "ORTHANC") -> str:
    """C-FIND, Study Root, with DCMTK; keys like "QueryRetrieveLevel=STUDY"."""
    wanted = [part for key in keys for part in ("-k", key)]
    return run_tool("findscu", "-S", "-aet", calling, "-aec", called, *wanted, HOST, str(port))


def dcmdump(path: Path, *options: str) -> str:
    """Return DCMTK's dump of a file."""
    return run_tool("dcmdump", *options, path)


def dciodvfy_errors(path: Path) -> list[str]:
    """Return the lines in which dicom3tools' validator names an error."""
    done = subprocess.run(
        [tool("dciodvfy"), "-new", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=60,
        check=False,
    )
    return [line for line in done.stdout.splitlines() if line.startswith("Error")]


@contextmanager
def running(
    arguments: Sequence[str | Path],
    *,
    port: int,
    log: Path,
    end: signal.Signals = signal.SIGTERM,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends, from when it listens until its process is gone."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in arguments], stdout=output, stderr=subprocess.STDOUT
        )
    try:
        wait_until(lambda: listens(port) or process.poll() is not None)
        if process.poll() is not None:
            raise RuntimeError(f"{arguments[0]} ended at once: {log.read_text(errors='replace')}")
        yield process
    finally:
        process.send_signal(end)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)


@contextmanager
def storescp(folder: Path, *options: str) -> Iterator[int]:
    """Run DCMTK's receiver, which writes data sets as they come; yields its port."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    command = [tool("storescp"), "-od", folder, *options, str(port)]
    with running(command, port=port, log=folder.parent / f"storescp-{port}.log"):
        yield port


@dataclass(frozen=True, slots=True, kw_only=True)
class Orthanc:
    """A running Orthanc."""

    ae_title: str
    port: int
    http_port: int
    log: Path
    pid: int

    def get(self, path: str) -> Any:
        """Return the JSON of a REST path such as "/studies"."""
        answer = requests.get(f"http://{HOST}:{self.http_port}{path}", timeout=20)
        answer.raise_for_status()
        return answer.json()

    def post(self, path: str, body: object) -> Any:
        """Post JSON (or bytes, as they are) and return the answer's JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body)
        answer = requests.post(f"http://{HOST}:{self.http_port}{path}", data=data, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def delete(self, path: str) -> None:
        """Delete the resource at a REST path."""
        requests.delete(f"http://{HOST}:{self.http_port}{path}", timeout=20).raise_for_status()

    def instances(self) -> list[str]:
        """Return Orthanc's own identifiers of all instances."""
        return cast(list[str], self.get("/instances"))

    def tags(self, instance: str) -> Mapping[str, Any]:
        """Return an instance's elements by keyword."""
        return cast(Mapping[str, Any], self.get(f"/instances/{instance}/simplified-tags"))

    def file(self, instance: str) -> bytes:
        """Return the instance's DICOM file."""
        url = f"http://{HOST}:{self.http_port}/instances/{instance}/file"
        answer = requests.get(url, timeout=60)
        answer.raise_for_status()
        return answer.content


@contextmanager
def orthanc(
    folder: Path,
    *,
    ae_title: str = "ORTHANC",
    modalities: Mapping[str, int] | None = None,
    port: int | None = None,
    settings: Mapping[str, object] | None = None,
) -> Iterator[Orthanc]:
    """Run Orthanc with its data under `folder`.

    `modalities` are the AE titles that may call (with the loopback port at which Orthanc reaches
    each); `settings` are merged into Orthanc's configuration. The same folder again is the same
    archive again.
    """
    port, http_port = port or free_port(), free_port()
    root = folder / "orthanc"
    root.mkdir(parents=True, exist_ok=True)
    configuration = _orthanc_configuration(root, ae_title, port, http_port, modalities or {})
    path = root / "orthanc.json"
    path.write_text(json.dumps({**configuration, **(settings or {})}))
    log = root / "orthanc.log"
    started = running([tool("Orthanc"), path], port=http_port, log=log, end=signal.SIGKILL)
    with started as process:
        wait_until(lambda: listens(port))
        yield Orthanc(ae_title=ae_title, port=port, http_port=http_port, log=log, pid=process.pid)


def _orthanc_configuration(
    root: Path, ae_title: str, port: int, http_port: int, modalities: Mapping[str, int]
) -> dict[str, object]:
    plugins = Path("/usr/share/orthanc/plugins")
    return {
        "Name": ae_title,
        "DicomAet": ae_title,
        "DicomPort": port,
        "HttpPort": http_port,
        "RemoteAccessAllowed": False,
        "DicomCheckCalledAet": True,
        "DicomCheckModalityHost": True,
        "StorageDirectory": str(root / "storage"),
        "IndexDirectory": str(root / "storage"),
        "StableAge": 2,
        "ConcurrentJobs": 1,
        "HttpThreadsCount": 4,
        "Plugins": [str(plugins)] if plugins.is_dir() else [],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        "DicomModalities": {
            name: {
                "AET": name,
                "Host": HOST,
                "Port": modality_port,
                "AllowEcho": True,
                "AllowStore": True,
                "AllowFind": True,
                "AllowMove": True,
                "AllowStorageCommitment": True,
            }
            for name, modality_port in modalities.items()
        },
    }
