"""The appliance as a site runs it: processes started by the command line, settings in a file.

with appliance(tmp_path, pacs_port=pacs.port) as site:
    storescu(site.receiver_port, paths)
    site.wait_for_jobs(study_uid, "done")
"""

import html
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import requests
import yaml

from appliance.cli.main import run
from appliance.core.clock import SystemClock
from appliance.core.model import Delivery, Job
from appliance.core.states import DeliveryState, JobState, RouteState
from results_store.migrate import migrate
from results_store.options import StoreOptions
from results_store.routes import RouteStatus
from results_store.store import Store, open_store
from tests.counterparts import free_port, listens, wait_until

PIPELINES = Path(__file__).parent / "pipelines"
FORMS = Path(__file__).parents[1] / "config" / "forms"
ROLES = ("receive", "orchestrate", "work", "deliver", "web", "schedule")

BRIGHT_ROUTE: dict[str, Any] = {
    "name": "bright",
    "when": {"Modality": "MR"},
    "complete": {"quiet": "500 ms", "at_most": "20 s", "then": "hold"},
    "run": ["bright-volume"],
    "send": {"to": ["pacs"], "objects": ["sr", "seg"]},
    "backfill": "send",
}
RELEASE: dict[str, Any] = {
    "version": "1.0.0",
    "role": "second-reader",
    "by": "Dr. Test",
    "on": "2026-01-02",
    "reference": "acceptance test 1",
    "approval": "the board, 2026-01-01",
}


def settings(folder: Path, pacs_port: int) -> dict[str, Any]:
    """Return settings with one quick route to one PACS; change what a test is about."""
    return {
        "appliance": {"ae_title": "APPLIANCE", "data_dir": str(folder / "data")},
        "receiver": {
            "listen": f"127.0.0.1:{free_port()}",
            "peers": [{"ae_title": n, "address": "127.0.0.1"} for n in ("STORESCU", "ORTHANC")],
            "disk": {"warn_below": "10 MB", "refuse_below": "5 MB"},
        },
        "destinations": {
            "pacs": {
                "ae_title": "ORTHANC",
                "address": f"127.0.0.1:{pacs_port}",
                "retry_first": "500 ms",
                "retry_longest": "2 s",
                "timeout": "10 s",
            }
        },
        "pipelines": {
            "bright-volume": {"path": str(PIPELINES / "bright_volume"), "release": dict(RELEASE)}
        },
        "routes": [BRIGHT_ROUTE],
        "jobs": {
            "lease": "5 s",
            "delivery_lease": "5 s",
            "retry_first": "200 ms",
            "retry_longest": "1 s",
        },
        "web": {"listen": f"127.0.0.1:{free_port()}", "forms": str(FORMS)},
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Appliance:
    """A running appliance."""

    config: Path
    log: Path
    receiver_port: int
    web_port: int
    crash_folder: Path
    process: subprocess.Popen[bytes]
    store: Store

    def command(self, *arguments: str, code: int = 0) -> str:
        """Run a command with this site's settings; return what it prints."""
        return here(*arguments, "--config", str(self.config), code=code)

    def wait_for_jobs(self, study: str, state: JobState, seconds: float = 60) -> tuple[Job, ...]:
        """Return the study's jobs when it has some and all are in this state."""
        self._wait(
            lambda: {job.state for job in self.store.jobs.of_study(study)} == {state}, seconds
        )
        return self.store.jobs.of_study(study)

    def wait_for_deliveries(
        self, study: str, state: DeliveryState, seconds: float = 60
    ) -> tuple[Delivery, ...]:
        """Return the study's deliveries when it has some and all are in this state."""
        rows = self.store.deliveries.of_study
        self._wait(lambda: {delivery.state for delivery in rows(study)} == {state}, seconds)
        return rows(study)

    def wait_for_route(self, study: str, state: RouteState, seconds: float = 60) -> RouteStatus:
        """Return the study's one route when it is in this state."""
        rows = self.store.routes.of_study
        self._wait(lambda: [status.state for status in rows(study)] == [state], seconds)
        return rows(study)[0]

    def page(self, study: str) -> str:
        """Return the review page's text, opened by a signed link as from the PACS."""
        url = self.command("link", study).strip()
        answer = requests.get(url, timeout=30)
        assert answer.status_code == 200, answer.text
        return html.unescape(answer.text)

    def _wait(self, reached: Callable[[], bool], seconds: float) -> None:
        def look() -> bool:
            assert self.process.poll() is None, "the appliance has ended"
            return reached()

        try:
            wait_until(look, seconds)
        except (TimeoutError, AssertionError) as error:
            log = self.log.read_text(errors="replace")[-5000:]
            raise AssertionError(f"{error}\n{log}") from None

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the log's lines of one event."""
        lines = self.log.read_text(errors="replace").splitlines()
        found = [json.loads(line) for line in lines if f'"{name}"' in line]
        return [line for line in found if line.get("event") == name]


def here(*arguments: str, code: int = 0) -> str:
    """Do what `command` does, but in this process; not for roles, which take its signals."""
    with redirect_stdout(StringIO()) as said, redirect_stderr(said):
        found = run(list(arguments))
    assert found == code, f"exit code {found}: {said.getvalue()}"
    return said.getvalue()


def command(*arguments: str, code: int = 0) -> str:
    """Run `appliance …` in a process of its own, which takes a second; return what it prints.

    Raises AssertionError for another exit code.
    """
    done = subprocess.run(
        [sys.executable, "-m", "appliance", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == code, f"exit code {done.returncode}: {done.stdout}"
    return done.stdout


def write(folder: Path, data: Mapping[str, Any]) -> Path:
    """Write settings into `folder`; return the file."""
    path = folder / "appliance.yaml"
    path.write_text(yaml.safe_dump(dict(data), sort_keys=False))
    return path


@contextmanager
def appliance(folder: Path, data: Mapping[str, Any], *, roles: str = "run") -> Iterator[Appliance]:
    """Run `appliance run` (or one role) on these settings until the block ends."""
    config = write(folder, data)
    crash_folder = folder / "crash"
    crash_folder.mkdir(exist_ok=True)
    receiver_port = int(data["receiver"]["listen"].rpartition(":")[2])
    web_port = int(data["web"]["listen"].rpartition(":")[2])
    log = folder / "appliance.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "appliance", roles, "--config", str(config)],
            stdout=output,
            stderr=output,
            env=os.environ | {"APPLIANCE_CRASH_FOLDER": str(crash_folder)},
        )
    try:
        awaited = [
            p for p, r in ((receiver_port, "receive"), (web_port, "web")) if roles in ("run", r)
        ]
        wait_until(lambda: all(map(listens, awaited)) or process.poll() is not None, 90)
        assert process.poll() is None, log.read_text(errors="replace")[-5000:]
        sqlite = f"sqlite:///{data['appliance']['data_dir']}/store.db"
        url = data.get("store", {}).get("url", sqlite)
        if roles == "receive":  # which knows no store
            migrate(StoreOptions(url=url))
        store = open_store(StoreOptions(url=url), SystemClock())
        yield Appliance(
            store=store,
            config=config,
            log=log,
            receiver_port=receiver_port,
            web_port=web_port,
            crash_folder=crash_folder,
            process=process,
        )
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)
