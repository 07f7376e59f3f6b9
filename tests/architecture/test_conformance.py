"""The papers for peers say what the code says: conformance statement and onboarding page."""

import re

import pytest
import typer.main
from pydicom.uid import UID

from appliance.cli.main import command_line
from appliance.core.model import CommitmentFailure
from appliance.documents import ROOT, filled, tables
from appliance.settings.document import settings_schema
from scp.advice import ANSWERED, NOT_COMMITTED, NOTIFIED, REJECTED
from scp.announcing import Availability, PerformedSteps
from scp.association import REJECTIONS, Refusal
from scp.commitment import StorageCommitment
from scp.conformance import NOTICES
from scp.elements import NStatus
from scp.services import Service
from scp.status import STATUSES, Outcome

PAPERS = ("docs/CONFORMANCE.md", "docs/ONBOARDING.md")
CARD = "pipelines/hippocampus_mr/card.md"
WITH_TABLES = (*PAPERS, "docs/REGISTRY.md", "docs/PIPELINES.md", "docs/VALIDATION.md", CARD)
TEXTS = "\n".join((ROOT / name).read_text() for name in PAPERS)


@pytest.mark.parametrize("name", WITH_TABLES)
def test_the_tables_of_a_paper_are_made_from_the_code(name: str) -> None:
    assert (ROOT / name).read_text() == filled(name), "run `make docs`"


def test_the_papers_show_every_table() -> None:
    texts = "\n".join((ROOT / name).read_text() for name in WITH_TABLES)
    assert set(re.findall(r"<!-- begin ([\w-]+) -->", texts)) == tables().keys()


def test_every_refusal_says_what_to_do() -> None:
    assert set(REJECTED) == set(REJECTIONS) == set(Refusal)
    assert set(ANSWERED) == set(STATUSES) == set(Outcome)
    assert set(NOTIFIED) == set(NStatus)
    assert set(NOT_COMMITTED) == set(CommitmentFailure)


def test_every_service_is_in_the_statement() -> None:
    services: set[type[Service]] = {PerformedSteps, Availability, StorageCommitment}
    assert {notice.service for notice in NOTICES} == services


def test_every_sop_class_and_syntax_has_a_name() -> None:
    uids = re.findall(r"^\| ([^|]+) \| `([\d.]+)` \|", TEXTS, re.MULTILINE)
    assert len(uids) > 200
    assert not [uid for name, uid in uids if name == uid]
    assert all(UID(uid).is_valid for _, uid in uids)


@pytest.mark.parametrize(
    "words", sorted(set(re.findall(r"`([a-z]+\.(?:\*\.)?[a-z_]+)(?:\[\]\.\w+)?`", TEXTS)))
)
def test_a_setting_of_the_papers_exists(words: str) -> None:
    section, _, key = words.replace("*.", "").partition(".")
    schema = settings_schema()
    assert f'"{section}": {{' in schema, section
    assert f'"{key}": {{' in schema, key


@pytest.mark.parametrize("words", sorted(set(re.findall(r"(?:^    |`)appliance (\w+)", TEXTS))))
def test_a_command_of_the_papers_exists(words: str) -> None:
    group = typer.main.get_command(command_line(""))
    assert words in group.commands  # type: ignore[attr-defined]
