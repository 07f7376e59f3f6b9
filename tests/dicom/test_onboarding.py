"""The commands of the page for PACS administrators do what it says."""

import re
import shlex
from pathlib import Path

import pytest

from appliance.core.tls import TlsFiles
from appliance.documents import ROOT
from scp.options import TlsOptions
from tests.builders import mr_series
from tests.certificates import Certificates
from tests.counterparts import HOST, run_tool
from tests.receiving import Running, receiver

PAGE = (ROOT / "docs/ONBOARDING.md").read_text()
COMMANDS = re.findall(r"(?m)^    ((?:echo|store)scu .*appliance\.example\.org.*)$", PAGE)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    made = Certificates(tmp_path_factory.mktemp("site"), name="appliance-ca")
    made.issue("appliance")
    made.issue("mr01")
    return made


def run(line: str, running: Running, folder: Path) -> str:
    """Run a command of the page with what is here in the place of its examples."""
    ports = {"11112": running.port, "2762": running.receiver.tls_port}
    words = {"appliance.example.org": HOST, "MR01": "STORESCU"} | {
        k: str(v) for k, v in ports.items()
    }
    name, *arguments = (words.get(word, word) for word in shlex.split(line))
    files = {path.name: path for path in folder.iterdir()}
    return run_tool(name, *(files.get(argument, argument) for argument in arguments))


def test_the_page_has_commands() -> None:
    assert len(COMMANDS) == 4


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_page_succeeds(line: str, site: Certificates, tmp_path: Path) -> None:
    folder = site.ca.parent
    mr_series(tmp_path / "mr", slices=1)[0].rename(folder / "image.dcm")
    own = TlsFiles(
        certificate=folder / "appliance.pem",
        key=folder / "appliance.key",
        trusted=site.ca if "+tls" in line else None,
    )
    with receiver(tmp_path, tls=TlsOptions(host=HOST, port=0, files=own)) as running:
        said = run(line, running, folder)
    assert "Success)" in said
