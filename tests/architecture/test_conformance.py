"""The conformance statement's tables are the code's."""

import re

from appliance.documents import ROOT, conformance_statement
from appliance.peers import conformance as asking
from scp import conformance as receiving


def test_the_tables_of_the_conformance_statement_are_made_from_the_code() -> None:
    text = (ROOT / "docs/CONFORMANCE.md").read_text()
    assert text == conformance_statement(), "run `make docs`"


def test_the_conformance_statement_shows_every_table() -> None:
    text = (ROOT / "docs/CONFORMANCE.md").read_text()
    shown = re.findall(r"<!-- begin ([\w-]+) -->", text)
    assert sorted(shown) == sorted({**receiving.tables(), **asking.tables()})
