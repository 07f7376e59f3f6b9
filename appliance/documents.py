"""Writes every document that is made from the code. `make docs`; a test compares them."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from appliance.jobs.document import job_states
from appliance.peers import conformance as asking
from appliance.settings.document import settings_reference, settings_schema
from scp import conformance as receiving

ROOT = Path(__file__).resolve().parents[1]

_TABLE = re.compile(r"(<!-- begin ([\w-]+) -->\n).*?(<!-- end \2 -->)", re.DOTALL)


def conformance_statement() -> str:
    """Return docs/CONFORMANCE.md with its tables made anew; the words between stay."""
    tables = {**receiving.tables(), **asking.tables()}
    text = (ROOT / "docs/CONFORMANCE.md").read_text()
    return _TABLE.sub(lambda found: f"{found[1]}{tables[found[2]]}\n{found[3]}", text)


DOCUMENTS: Mapping[str, Callable[[], str]] = {
    "docs/SETTINGS.md": settings_reference,
    "config/settings.schema.json": settings_schema,
    "docs/JOB_STATES.md": job_states,
    "docs/CONFORMANCE.md": conformance_statement,
}


def main() -> None:
    """Write them all."""
    for name, make in DOCUMENTS.items():
        (ROOT / name).write_text(make())


if __name__ == "__main__":
    main()
