"""Writes every document that is made from the code. `make docs`; a test compares them."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from pydicom.charset import python_encoding

from appliance.jobs.document import job_states
from appliance.peers import conformance as asking
from appliance.settings import limits
from appliance.settings.document import settings_reference, settings_schema
from pipelines.clinical import roles_table
from pipelines.codes import OWN
from pipelines.document import manifest_schema, manifest_tables
from pipelines.hippocampus_mr.scripts import report as hippocampus
from pipelines.hippocampus_mr.scripts.picture import bland_altman
from scp import conformance as receiving
from scp import onboarding

ROOT = Path(__file__).resolve().parents[1]

# PS3.3 section C.12.1.1.2; what else pydicom knows are misspellings that it forgives.
_TERM = re.compile(r"ISO_IR (?!6$)\d+|ISO 2022 IR \d+|GB18030|GBK")

_TABLE = re.compile(r"(<!-- begin ([\w-]+) -->\n).*?(<!-- end \2 -->)", re.DOTALL)


def tables() -> Mapping[str, str]:
    """Return every table of the papers, by the name under which they ask for it."""
    return {
        **receiving.tables(),
        **onboarding.tables(),
        **asking.tables(),
        **limits.tables(),
        **manifest_tables(),
        **hippocampus.tables(),
        "clinical-roles": roles_table(),
        "overview": _overview(),
        "character-sets": _character_sets(),
        "own-codes": _own_codes(),
    }


def _overview() -> str:
    """Return what is used and what is provided, by service: PS3.2 annex N, the first table."""
    rows: dict[tuple[str, str], tuple[str, str]] = {}
    for provided in receiving.provided():
        rows[provided.name, provided.uid] = ("no", "yes")
    for used in asking.used():
        if used.role != "SCU":
            continue
        _, scp = rows.get((used.name, used.uid), ("", "no"))
        rows[used.name, used.uid] = ("yes", scp)
    return receiving.markdown(
        ("SOP class", "UID", "user (SCU)", "provider (SCP)"),
        ((name, f"`{uid}`" if uid else "", *roles) for (name, uid), roles in rows.items()),
    )


def _character_sets() -> str:
    """Return the Defined Terms of (0008,0005) that pages can read, as pydicom has them."""
    terms = sorted(term for term in python_encoding if _TERM.fullmatch(term))
    with_extensions = [term for term in terms if term.startswith("ISO 2022")]
    without = [term for term in terms if term not in with_extensions]
    rows = (("without code extensions", without), ("with code extensions", with_extensions))
    return receiving.markdown(
        ("", "Specific Character Set (0008,0005)"),
        ((name, ", ".join(f"`{term}`" for term in some)) for name, some in rows),
    )


def _own_codes() -> str:
    """Return the concepts of our own coding scheme."""
    return receiving.markdown(
        ("code", "meaning", "definition"),
        ((f"`{code.value}`", code.meaning, definition) for code, definition in OWN.items()),
    )


def filled(name: str) -> str:
    """Return the page with its tables made anew; the words between stay."""
    found = tables()
    text = (ROOT / name).read_text()
    return _TABLE.sub(lambda mark: f"{mark[1]}{found[mark[2]]}\n{mark[3]}", text)


DOCUMENTS: Mapping[str, Callable[[], str]] = {
    "docs/SETTINGS.md": settings_reference,
    "config/settings.schema.json": settings_schema,
    "docs/JOB_STATES.md": job_states,
    "docs/CONFORMANCE.md": partial(filled, "docs/CONFORMANCE.md"),
    "docs/ONBOARDING.md": partial(filled, "docs/ONBOARDING.md"),
    "docs/REGISTRY.md": partial(filled, "docs/REGISTRY.md"),
    "docs/PIPELINES.md": partial(filled, "docs/PIPELINES.md"),
    "config/pipeline.schema.json": manifest_schema,
    "docs/VALIDATION.md": partial(filled, "docs/VALIDATION.md"),
    "pipelines/hippocampus_mr/card.md": partial(filled, "pipelines/hippocampus_mr/card.md"),
    "pipelines/hippocampus_mr/docs/bland-altman.svg": bland_altman,
}


def main() -> None:
    """Write them all."""
    for name, make in DOCUMENTS.items():
        (ROOT / name).write_text(make())


if __name__ == "__main__":
    main()
