"""`appliance explain` prints the orchestrator's own decision, also for a folder."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from appliance.core.states import RouteState
from appliance.intake.explain import (
    as_data,
    as_lines,
    decisions_for,
    series_labels,
    standing_data,
    standing_lines,
)
from appliance.intake.folder import study_from_folder
from appliance.intake.options import CompleteOptions, InstalledVersion, IntakeOptions, RoutePlan
from appliance.routing.rules import attributes_needed
from results_store.announcements import Announced, Announcement, Kind
from results_store.routes import RouteStatus
from tests.builders import ct_series, mr_series
from tests.summaries import one_pipeline, route, spec

NOW = datetime(2026, 1, 3, tzinfo=UTC)
PIPELINE = one_pipeline(spec("t1", {"MRAcquisitionType": "3D"}, [{"lowest": "SliceThickness"}]))[
    "brain-mr"
]
OPTIONS = IntakeOptions(
    routes=(
        RoutePlan(
            route=route({"Modality": "MR"}),
            complete=CompleteOptions(quiet=timedelta(seconds=1), at_most=timedelta(hours=1)),
            max_age=timedelta(days=2),
        ),
    ),
    pipelines={"brain-mr": InstalledVersion(version="1", digest="", inputs=PIPELINE)},
    time_zone=ZoneInfo("Europe/London"),
)
NEEDED = attributes_needed([OPTIONS.routes[0].route], [PIPELINE])


def test_a_folder_that_matches_is_explained_series_by_series(tmp_path: Path) -> None:
    mr_series(tmp_path / "thin", slices=3, study_instance_uid="1.2.3")
    thick = {"SeriesNumber": 2, "SeriesDescription": "localizer"}
    mr_series(tmp_path / "thick", slices=2, study_instance_uid="1.2.3", gap=4.0, **thick)
    (study,) = study_from_folder(tmp_path, NEEDED).studies
    decisions = decisions_for(study, OPTIONS, NOW)
    assert as_lines(decisions, series_labels(study)) == (
        "route 'brain': matches",
        (
            "  runs brain-mr on series 1 't1 mprage' as t1 (best of 2 series that fit: "
            "lowest SliceThickness (1, not 4))"
        ),
        (
            "  brain-mr/t1: series 1 't1 mprage', 3 objects: best of 2 series that fit: "
            "lowest SliceThickness (1, not 4)"
        ),
        "  series 1 't1 mprage'",
        "    yes Modality is MR  (found: MR)",
        "    yes brain-mr/t1: MRAcquisitionType is 3D  (found: 3D)",
        "  series 2 'localizer'",
        "    yes Modality is MR  (found: MR)",
        "    yes brain-mr/t1: MRAcquisitionType is 3D  (found: 3D)",
    )


def test_a_folder_that_does_not_match_is_explained_as_json_too(tmp_path: Path) -> None:
    ct_series(tmp_path, slices=2, SeriesNumber=3)
    (study,) = study_from_folder(tmp_path, NEEDED).studies
    (told,) = json.loads(json.dumps(as_data(decisions_for(study, OPTIONS, NOW))))
    assert (told["rule"], told["matched"], told["inputs"]) == ("brain", False, [])
    assert told["summary"].startswith("not run: no series meets all conditions")
    assert [(r["condition"], r["found"], r["holds"]) for r in told["reasons"]] == [
        ("Modality is MR", "CT", False),
        ("brain-mr/t1: MRAcquisitionType is 3D", "absent", False),
    ]


def test_an_old_study_is_explained_as_the_orchestrator_would_decide(tmp_path: Path) -> None:
    mr_series(tmp_path, slices=2, StudyDate="20070404")
    (study,) = study_from_folder(tmp_path, NEEDED).studies
    (decision,) = decisions_for(study, OPTIONS, NOW)
    assert not decision.matched
    lines = as_lines([decision])
    assert "  not run: the study is from 2007-04-04, older than 2 d" in lines
    assert "    NO  the study is at most 2 d old  (found: 2007-04-04)" in lines


def test_where_each_route_stands_and_what_was_announced_is_told() -> None:
    common = {"opened_at": NOW, "images_seen": 3, "signal": "", "reason": ""}
    routes = (
        RouteStatus(
            route="a",
            state=RouteState.CLOSED,
            closed_at=NOW,
            deadline=None,
            **common | {"signal": "mpps"},
        ),
        RouteStatus(
            route="b",
            state=RouteState.OPEN,
            closed_at=None,
            deadline=NOW,
            **common | {"reason": "a procedure step is in progress"},
        ),
    )
    step = Announcement(
        kind=Kind.MPPS,
        sop_instance_uid="1.2.9",
        study_instance_uid="1.2.3",
        state=Announced.DISCONTINUED,
        reason="110514 DCM",
        calling_ae_title="MR01",
        listed={"1.5": frozenset({"1.5.1", "1.5.2"})},
        announced_at=NOW,
    )
    assert standing_lines(routes, [step], ["an image came cut off"]) == (
        "someone has to look: an image came cut off",
        "route 'a' was closed at 2026-01-03 00:00:00 UTC by mpps",
        "route 'b' waits, until 2026-01-03 00:00:00 UTC: a procedure step is in progress",
        "announced: mpps 1.2.9 by MR01 is discontinued (110514 DCM); lists 2 images in 1 series",
    )
    data = standing_data(routes, [step], ["an image came cut off"])
    assert json.dumps(data, default=str)
    assert data["announced"][0]["images"] == {"1.5": 2}  # type: ignore[index]
