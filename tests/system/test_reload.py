"""Starting and SIGHUP: new settings are taken over if a role could start with them."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.appliance import FORMS, Appliance, appliance, here, settings, write
from tests.counterparts import echoscu, listens, wait_until


def _lines(site: Appliance, event: str) -> int:
    return len(site.events(event))


def test_a_mistake_in_what_the_settings_name_leaves_the_role_as_it_is(tmp_path: Path) -> None:
    forms = tmp_path / "forms"
    shutil.copytree(FORMS, forms)
    data = settings(tmp_path, 104)
    data["web"]["forms"] = str(forms)
    with appliance(tmp_path, data, roles="receive") as site:
        wait_until(lambda: _lines(site, "service.started") == 1, 60)
        good = (forms / "default.yaml").read_text()
        (forms / "default.yaml").write_text("questions: 1\n")
        site.process.send_signal(signal.SIGHUP)
        wait_until(lambda: _lines(site, "service.started") == 2, 60)
        (refused,) = site.events("settings.refused")
        assert "default.yaml" in refused["reason"]
        echoscu(site.receiver_port, calling="STORESCU")
        (forms / "default.yaml").write_text(good)
        site.process.send_signal(signal.SIGHUP)
        wait_until(lambda: _lines(site, "service.started") == 3, 60)
        echoscu(site.receiver_port, calling="STORESCU")
        assert _lines(site, "settings.refused") == 1


def test_a_role_that_is_told_to_reload_again_and_again_lives(tmp_path: Path) -> None:
    with appliance(tmp_path, settings(tmp_path, 104), roles="receive") as site:
        wait_until(lambda: _lines(site, "service.started") == 1, 60)
        site.process.send_signal(signal.SIGHUP)
        wait_until(lambda: _lines(site, "service.stopped") == 1, 60)
        while _lines(site, "service.started") < 2:  # all the while that it starts afresh
            assert site.process.poll() is None
            site.process.send_signal(signal.SIGHUP)
            time.sleep(0.02)
        wait_until(lambda: listens(site.receiver_port), 60)
        assert site.process.poll() is None


def test_a_role_that_starts_asks_systemd_for_patience(tmp_path: Path) -> None:
    config = write(tmp_path, settings(tmp_path, 104))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "n"))
        manager.settimeout(60)
        process = subprocess.Popen(
            [sys.executable, "-m", "appliance", "receive", "--config", str(config)],
            env=os.environ | {"NOTIFY_SOCKET": str(tmp_path / "n"), "WATCHDOG_USEC": "30000"},
        )
        try:
            said = []
            while b"READY=1" not in said:
                said += manager.recv(200).splitlines()
        finally:
            process.terminate()
            process.wait(60)
    assert said[0] == b"WATCHDOG=1"
    assert said[1].startswith(b"EXTEND_TIMEOUT_USEC=")


def test_a_certificate_that_cannot_be_used_is_named_by_check(tmp_path: Path) -> None:
    data = settings(tmp_path, 104)
    data["web"]["tls"] = {"certificate": str(tmp_path / "c.pem"), "key": str(tmp_path / "k.pem")}
    said = here("check", "--config", str(write(tmp_path, data)), code=78)
    assert "c.pem" in said.replace("\n", "")
    assert "No such file" in said.replace("\n", " ")
