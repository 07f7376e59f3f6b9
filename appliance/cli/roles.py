"""`run` and the six roles."""

import gc
import importlib
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import typer

from appliance.cli.common import DEFAULT_CONFIG, ConfigOption, exit_code_of
from appliance.core.clock import SystemClock
from appliance.core.errors import ConfigError
from appliance.core.log import Event, log_event, log_to_stderr
from appliance.core.ports import Role
from appliance.service import Service, Stop, WakeupListener, getting_ready, run_service
from appliance.supervisor import Supervisor
from appliance.wiring.roles import build_service, module_of
from appliance.wiring.site import Site, open_site

_HELP = {
    Role.RECEIVE: "Role: receive images (C-STORE, C-ECHO).",
    Role.ORCHESTRATE: "Role: index what came, decide what runs.",
    Role.WORK: "Role: run pipelines.",
    Role.DELIVER: "Role: send results to their destinations.",
    Role.WEB: "Role: serve the pages.",
    Role.SCHEDULE: "Role: look for drift, delete old images.",
}


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(name="run", help="Run all roles, each in a process of its own.")(run_all)
    for role in Role:
        app.command(name=role.value, help=_HELP[role])(_command(role))


def _command(role: Role) -> Callable[[Path], int]:
    def command(config: ConfigOption = DEFAULT_CONFIG) -> int:
        return run_role(role, config)

    return command


def run_all(config: ConfigOption = DEFAULT_CONFIG) -> int:
    """Check the settings, then keep every role running."""
    log_to_stderr()
    open_site(config).close()
    for role in Role:
        module_of(role)
    gc.freeze()  # what the roles share stays shared: no collection writes to it
    stop = Stop()
    stop.listen()
    return Supervisor(run_role=partial(_in_a_fork, config), clock=SystemClock()).run(stop)


def _in_a_fork(config: Path, role: Role) -> int:
    return exit_code_of(lambda: run_role(role, config))


def run_role(role: Role, config: Path) -> int:
    """Run one role until told to stop; start it afresh on SIGHUP if the new settings are good."""
    log_to_stderr()
    stop = Stop()
    stop.listen()
    site = open_site(config)
    try:
        ended_well = _serve(role, site, stop, config)
    finally:
        site.close()
    if stop.reload:
        # Until the new program listens, another one must not kill it; it reads the file after.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        again = [sys.executable, "-m", "appliance", role.value, "--config", str(config)]
        os.execv(sys.executable, again)  # noqa: S606
    return 0 if ended_well else 1


def _serve(role: Role, site: Site, stop: Stop, config: Path) -> bool:
    with ExitStack() as ends:
        with getting_ready(site.clock):
            service = _counted(site, build_service(role, site, stop))
        ends.callback(service.close)
        # After the role is ours: a second process of it must not take the first one's wake-ups.
        listener = WakeupListener(site.folders.run, role)
        ends.callback(listener.close)
        stop.wake = partial(site.wakeup.wake, role)
        while True:
            ended_well = run_service(service, listener, stop, site.clock)
            if not stop.reload or _is_good(config):
                return ended_well
            stop.reload = False
            stop.requested.clear()


def _counted(site: Site, service: Service) -> Service:
    """Return the service; what its process counts is written while it runs."""

    def step() -> timedelta:
        site.flush()
        return service.step()

    return replace(service, step=step)


def _is_good(config: Path) -> bool:
    """Return whether a role could start with the settings, and with all that they name."""
    try:
        with open_site(config) as site:
            importlib.import_module("appliance.wiring.checks").check_installation(site.settings)
    except ConfigError as error:
        reason = str(error)
        log_event(Event.SETTINGS_REFUSED, level=logging.ERROR, path=str(config), reason=reason)
        return False
    return True
