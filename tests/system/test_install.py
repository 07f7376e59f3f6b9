"""`make install` lays out a tree that systemd accepts and that a site can live with."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.core.ports import Role
from appliance.settings.load import load_settings

ROOT = Path(__file__).parents[2]
ROOMS = ("appliance", "scp", "pipelines", "results_store", "feedback")
SERVICES = [f"appliance-{role}.service" for role in Role]


def make(target: str, tree: Path, **variables: str) -> str:
    """Run `make target` into `tree`; the dependencies are the only thing left out."""
    environment = os.environ | {"PIP_NO_DEPS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    given = {"DESTDIR": str(tree), "PYTHON": sys.executable} | variables
    return subprocess.run(
        ["make", target, *(f"{key}={value}" for key, value in given.items())],
        cwd=ROOT,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A root with the base system's units, into which the appliance was installed."""
    tree = tmp_path_factory.mktemp("root")
    for name in ("bin", "lib"):
        (tree / "usr" / name).mkdir(parents=True)
        (tree / name).symlink_to(f"usr/{name}")
    shutil.copytree("/lib/systemd/system", tree / "lib/systemd/system", symlinks=True)
    shutil.copy("/bin/kill", tree / "bin")
    make("install", tree)
    yield tree
    shutil.rmtree(tree)


@pytest.mark.parametrize("unit", [*SERVICES, "appliance.target"])
def test_systemd_has_nothing_to_say_against_a_unit(tree: Path, unit: str) -> None:
    command = ["systemd-analyze", "verify", f"--root={tree}", unit]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout + found.stderr) == (0, "")


@pytest.mark.parametrize("unit", SERVICES)
def test_a_service_is_hardened(tree: Path, unit: str) -> None:
    command = ["systemd-analyze", "security", "--offline=yes", f"--root={tree}"]
    # The worker may make namespaces, so that its pipelines get none of what it has itself.
    threshold = 25 if unit == "appliance-work.service" else 20
    found = subprocess.run(
        [*command, f"--threshold={threshold}", unit], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout


def test_the_worker_may_enclose_its_pipelines(tree: Path) -> None:
    unit = (tree / "etc/systemd/system/appliance-work.service").read_text()
    filters = [line for line in unit.splitlines() if line.startswith("SystemCallFilter=")]
    # A later line adds to what an earlier one took away.
    allowed = " ".join(filters[filters.index("SystemCallFilter=~@privileged") + 1 :])
    for call in ("capset", "mount", "mount_setattr", "landlock_restrict_self"):
        assert call in allowed.replace("SystemCallFilter=", " ").split()
    assert "\nRestrictNamespaces=user net mnt ipc\n" in unit


@pytest.mark.parametrize("unit", SERVICES)
def test_a_wrong_configuration_is_not_tried_again_and_again(tree: Path, unit: str) -> None:
    text = (tree / "etc/systemd/system" / unit).read_text()
    assert "\nRestartPreventExitStatus=78\n" in text


def test_the_target_starts_every_role(tree: Path) -> None:
    target = (tree / "etc/systemd/system/appliance.target").read_text()
    wants = next(line for line in target.splitlines() if line.startswith("Wants="))
    assert sorted(wants.removeprefix("Wants=").split()) == sorted(SERVICES)


def test_nothing_is_enabled_unless_asked(tree: Path) -> None:
    wanted = tree / "etc/systemd/system/multi-user.target.wants/appliance.target"
    assert not wanted.is_symlink()
    make("install-files", tree, ENABLE="1")
    assert wanted.is_symlink()


def test_what_a_site_wrote_is_kept_and_told(tree: Path) -> None:
    written = tree / "etc/appliance/appliance.yaml"
    before = written.read_text()
    written.write_text("# ours\n" + before)
    told = make("install-files", tree)
    assert written.read_text() == "# ours\n" + before
    assert "kept /etc/appliance/appliance.yaml" in told
    assert (tree / "opt/appliance/share/appliance.yaml").read_text() == before


def test_the_configuration_of_a_fresh_install_is_right(tree: Path) -> None:
    assert load_settings(tree / "etc/appliance/appliance.yaml").appliance.ae_title == "APPLIANCE"


def test_the_program_runs_from_where_it_will_stand(tree: Path) -> None:
    venv = tree / "opt/appliance/venv"
    assert (venv / "bin/appliance").read_text().startswith("#!/opt/appliance/venv/bin/python")
    here = str(tree).encode()
    scripts = [path for path in (venv / "bin").iterdir() if not path.is_symlink()]
    assert [path for path in scripts if here in path.read_bytes()] == []


def test_the_command_never_acts_as_root(tree: Path) -> None:
    command = [str(tree / "usr/local/bin/appliance"), "check"]
    environment = {"PATH": f"{tree / 'spy'}:/usr/bin:/bin"}
    for name, text in (("id", "echo 0"), ("runuser", 'echo "$@"')):
        spy = tree / "spy" / name
        spy.parent.mkdir(exist_ok=True)
        spy.write_text(f"#!/bin/sh\n{text}\n")
        spy.chmod(0o755)
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert told.stdout == "-u appliance -- /opt/appliance/venv/bin/appliance check\n"


@pytest.mark.parametrize("room", ROOMS)
def test_all_that_a_room_holds_is_installed(tree: Path, room: str) -> None:
    (installed,) = (tree / "opt/appliance/venv/lib").glob("python*/site-packages")
    for path in (ROOT / room).rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            assert (installed / path.relative_to(ROOT)).is_file(), path.relative_to(ROOT)
