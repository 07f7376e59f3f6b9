"""Writes every document that is made from the code. `make docs`; a test compares them."""

from collections.abc import Callable, Mapping
from pathlib import Path

from appliance.jobs.document import job_states
from appliance.settings.document import settings_reference, settings_schema

ROOT = Path(__file__).resolve().parents[1]

DOCUMENTS: Mapping[str, Callable[[], str]] = {
    "docs/SETTINGS.md": settings_reference,
    "config/settings.schema.json": settings_schema,
    "docs/JOB_STATES.md": job_states,
}


def main() -> None:
    """Write them all."""
    for name, make in DOCUMENTS.items():
        (ROOT / name).write_text(make())


if __name__ == "__main__":
    main()
