"""What a process imports before it works is what its role uses: starting is what restarts cost."""

import json
import subprocess
import sys

import pytest

from appliance.core.ports import Role

# Imports as the command line does, then each role's own modules in a copy of the process.
_IMPORT_EACH = """\
import json, os, sys
from appliance.cli.main import command_line
from appliance.core.ports import Role
command_line("run")
from appliance.wiring.roles import module_of
for role in Role:
    if os.fork() == 0:
        module_of(role)
        print(json.dumps([role.value, sorted(sys.modules)]), flush=True)
        os._exit(0)
    assert os.wait()[1] == 0
"""
_LATER = {"alembic", "apscheduler", "fastapi", "highdicom", "monai", "onnxruntime", "pandas"} | {
    "psycopg", "pyarrow", "scipy.ndimage", "scipy.stats", "torch", "uvicorn"
}  # fmt: skip
_USED = {
    Role.WORK: {"highdicom"},
    Role.WEB: {"fastapi", "highdicom", "uvicorn"},
    Role.SCHEDULE: {"apscheduler"},
}


@pytest.fixture(scope="module")
def imported() -> dict[Role, frozenset[str]]:
    """The modules that a process of each role has."""
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT_EACH], stdout=subprocess.PIPE, text=True, check=True
    )
    return {
        Role(name): frozenset(modules)
        for name, modules in map(json.loads, done.stdout.split("\n")[:-1])
    }


@pytest.mark.parametrize("role", Role)
def test_a_role_imports_none_of_what_others_use(
    imported: dict[Role, frozenset[str]], role: Role
) -> None:
    assert imported[role] & _LATER == _USED.get(role, set())


def test_the_receiver_knows_no_database_and_nothing_of_results(
    imported: dict[Role, frozenset[str]],
) -> None:
    rooms = {name.partition(".")[0] for name in imported[Role.RECEIVE]}
    assert not rooms & {"sqlalchemy", "results_store", "feedback"}


@pytest.mark.parametrize("role", [Role.WORK, Role.WEB])
def test_roles_without_associations_import_no_dicom_network(
    imported: dict[Role, frozenset[str]], role: Role
) -> None:
    assert "pynetdicom" not in imported[role]
