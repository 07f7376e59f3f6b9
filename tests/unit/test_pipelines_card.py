"""What a pipeline says of itself, and what its clinical role allows."""

import itertools
from datetime import date
from pathlib import Path

import pytest

from appliance.core.model import ObjectKind, Priority
from pipelines.card import Regulatory, RegulatoryStatus
from pipelines.clinical import ALLOWED, ClinicalRole, roles_table
from pipelines.folders import SHIPPED
from pipelines.manifest import load_manifest
from tests import phantoms
from tests.unit.test_pipelines_manifest import copy, problems

RESEARCH = "regulatory: {status: research}"


def test_a_cleared_pipeline_names_what_cleared_it_and_where(tmp_path: Path) -> None:
    copy(tmp_path, RESEARCH, "regulatory: {status: cleared}")
    assert [problem.partition(": ")[2] for problem in problems(tmp_path)] == [
        "regulatory.identifier: a cleared pipeline names its clearance: write identifier",
        "regulatory.jurisdiction: a cleared pipeline names its clearance: write jurisdiction",
    ]


@pytest.mark.parametrize(
    ("key", "value"),
    [("identifier", "K" * 40), ("identifier", "K1 \\ K2"), ("jurisdiction", "Utopia")],
)
def test_a_label_that_would_be_cut_in_the_series_list_is_refused(
    tmp_path: Path, key: str, value: str
) -> None:
    clearance = {"identifier": "K1", "jurisdiction": "US"} | {key: value}
    written = ", ".join(f"{name}: '{text}'" for name, text in clearance.items())
    copy(tmp_path, RESEARCH, f"regulatory: {{status: cleared, {written}}}")
    assert f"regulatory.{key}: " in problems(tmp_path)[0]


def test_a_clearance_counts_to_its_last_day() -> None:
    cleared = Regulatory(
        status=RegulatoryStatus.CLEARED,
        identifier="K" * 30,
        jurisdiction="USA",
        expires=date(2026, 3, 31),
    )
    assert cleared.label_on(date(2026, 3, 31)) == cleared.label == f"Cleared: {'K' * 30} (USA)"
    ended = cleared.label_on(date(2026, 4, 1))
    assert ended == f"No longer cleared: {'K' * 30} (USA)"
    described = phantoms.context(regulatory_label=ended).series_description(ObjectKind.SR)
    assert described.endswith(f" - no longer cleared: {'K' * 30} (USA)")


def test_roles_are_in_the_order_of_their_weight() -> None:
    assert [role.value for role in ALLOWED] == [
        "safety", "prioritisation", "triage", "second-reader", "primary"
    ]  # fmt: skip
    assert ClinicalRole.PRIMARY.exceeds(ClinicalRole.SECOND_READER)
    assert not ClinicalRole.TRIAGE.exceeds(ClinicalRole.TRIAGE)


def test_who_may_do_more_may_do_all_that_the_lesser_may() -> None:
    for lesser, greater in itertools.pairwise(ALLOWED.values()):
        assert lesser.objects <= greater.objects
        assert lesser.priorities <= greater.priorities


def test_what_only_says_that_a_study_should_be_seen_points_to_no_place_in_it() -> None:
    for role in (ClinicalRole.SAFETY, ClinicalRole.PRIORITISATION, ClinicalRole.TRIAGE):
        assert ALLOWED[role].objects == {"sr"}
    assert ALLOWED[ClinicalRole.SAFETY].priorities == {Priority.ROUTINE}
    beside = ALLOWED[ClinicalRole.SECOND_READER].objects
    assert beside >= {"sr", "seg", "sc"}
    assert beside.isdisjoint({"image", "rt", "other"})
    assert ALLOWED[ClinicalRole.PRIMARY].objects >= {kind.value for kind in ObjectKind}
    assert "| `triage` |" in roles_table()


@pytest.mark.parametrize("name", list(SHIPPED))
def test_a_shipped_card_says_whom_it_is_for_and_what_was_measured(name: str) -> None:
    manifest = load_manifest(SHIPPED[name])
    assert manifest.population
    assert bool(manifest.training) == bool(manifest.weights)
    assert manifest.metrics
