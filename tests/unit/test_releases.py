"""Whether results of a pipeline may leave by a route: told by `check` with the line."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from appliance.core.errors import ConfigError
from appliance.core.model import Job, Priority
from appliance.core.objections import reasons_on
from appliance.core.states import JobState
from appliance.settings.load import parse_settings
from appliance.settings.model import Settings
from appliance.wiring.catalogue import FolderWatch, installed
from appliance.wiring.checks import check_everything, check_installation
from appliance.wiring.releases import Gate, all_objections, problems, soon
from tests.store.world import START, SteppedClock
from tests.unit.test_pipelines_manifest import copy

DAY = date(2026, 11, 21)
SETTINGS = """\
appliance: {{ae_title: APPLIANCE, data_dir: {data}, time_zone: Europe/London}}
destinations:
  pacs: {{ae_title: PACS, address: "10.1.1.5:104"}}
  study: {{ae_title: STUDY, address: "10.1.9.9:104", use: research}}
pipelines:
  bright-volume:
    path: {path}
    release:
      version: 1.0.0
      role: second-reader
      by: Dr. N. N.
      on: 2026-11-01
      reference: acceptance test 17
      approval: ethics committee
routes:
  - name: bright
    when: {{Modality: MR}}
    run: [bright-volume]
    send: {{to: [study, pacs]}}
    priority: routine
web: {{forms: {forms}}}
"""
RELEASE = SETTINGS[SETTINGS.index("    release:") : SETTINGS.index("routes:")]
FORMS = Path(__file__).parents[2] / "config" / "forms"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "pipeline"
    made.mkdir()
    return copy(made)


def change(folder: Path, old: str, new: str) -> None:
    manifest = folder / "pipeline.yaml"
    assert old in manifest.read_text()
    manifest.write_text(manifest.read_text().replace(old, new))


def written(folder: Path, changes: Mapping[str, str]) -> Settings:
    text = SETTINGS.format(path=folder, data=folder.parent / "data", forms=FORMS)
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return parse_settings(text, "a.yaml")


def told(folder: Path, changes: Mapping[str, str] | None = None, day: date = DAY) -> list[str]:
    settings = written(folder, changes or {})
    return problems(settings, installed(settings), day)


def test_what_is_released_as_its_maker_says_goes_out(folder: Path) -> None:
    assert told(folder) == []


def test_without_a_release_nothing_goes_out_and_what_to_write_is_said(folder: Path) -> None:
    assert told(folder, {RELEASE: ""}) == [
        (
            "a.yaml:6: pipelines.bright-volume.release: 1.0.0 is not released; write release: "
            "{version: 1.0.0, role: second-reader, by: NAME, on: YYYY-MM-DD, reference: PROTOCOL}, "
            "or leave send out of the route (shadow)"
        )
    ]
    shadow = {RELEASE: "", "    send: {to: [study, pacs]}\n": ""}
    assert told(folder, shadow) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"version: 1.0.0": "version: 0.9.0"},
            (
                "a.yaml:9: pipelines.bright-volume.release.version: 1.0.0 is not released; "
                "0.9.0 is; "
                "write version: 1.0.0 once it is accepted here, or put 0.9.0 back into its folder"
            ),
        ),
        (
            {"version: 1.0.0": "version: 1.0.0\n      digest: 0123456789abcdef"},
            (
                "a.yaml:10: pipelines.bright-volume.release.digest: these files of 1.0.0 are not "
                "released; write digest: "
            ),
        ),
        (
            {"role: second-reader": "role: primary"},
            (
                "a.yaml:10: pipelines.bright-volume.release.role: it is released as primary, its "
                "maker says second-reader at most; write role: second-reader"
            ),
        ),
        (
            {"role: second-reader": "role: triage"},
            (
                "a.yaml:19: routes.0.send.objects: what is released as triage does not send seg; "
                "write objects: [sr]"
            ),
        ),
        (
            {
                "role: second-reader": "role: safety",
                "priority: routine": "priority: stat",
                "pacs]}": "pacs], objects: [sr]}",
            },
            (
                "a.yaml:20: routes.0.priority: what is released as safety does not run as stat; "
                "write priority: routine"
            ),
        ),
        (
            {"      approval: ethics committee\n": ""},
            (
                "a.yaml:8: pipelines.bright-volume.release.approval: it is for research, and pacs "
                "is in clinical use; write approval: who approved it, or use: research at pacs"
            ),
        ),
        (
            {"on: 2026-11-01": "on: 2026-11-22"},
            "a.yaml:12: pipelines.bright-volume.release.on: the release begins on 2026-11-22; ",
        ),
        (
            {"on: 2026-11-01": "on: 2026-11-01\n      until: 2026-11-20"},
            "a.yaml:13: pipelines.bright-volume.release.until: the release ended on 2026-11-20; ",
        ),
    ],
)
def test_each_objection_stands_at_its_line_with_what_to_write(
    folder: Path, changes: Mapping[str, str], said: str
) -> None:
    (problem,) = told(folder, changes)
    assert problem.startswith(said)


def test_all_that_is_wrong_is_told_at_once(folder: Path) -> None:
    wrong = {
        "version: 1.0.0": "version: 2.0.0",
        "role: second-reader": "role: safety",
        "priority: routine": "priority: urgent",
        "      approval: ethics committee\n": "",
    }
    assert [problem.split(": ")[1] for problem in told(folder, wrong)] == [
        "pipelines.bright-volume.release.version",
        "routes.0.send.objects",
        "routes.0.priority",
        "pipelines.bright-volume.release.approval",
    ]


def test_a_digest_that_begins_like_the_folders_is_enough(folder: Path) -> None:
    digest = installed(written(folder, {}))["bright-volume"].digest
    exact = {"version: 1.0.0": f"version: 1.0.0\n      digest: {digest[:10]}"}
    assert told(folder, exact) == []
    (folder / "more.txt").touch()
    assert "these files of 1.0.0 are not released" in told(folder, exact)[0]


def test_what_is_cleared_needs_no_approval_until_its_last_day(folder: Path) -> None:
    cleared = "{status: cleared, identifier: K1, jurisdiction: US, expires: 2026-11-30}"
    change(folder, "{status: research}", cleared)
    without = {"      approval: ethics committee\n": ""}
    assert told(folder, without, date(2026, 11, 30)) == []
    (problem,) = told(folder, without, date(2026, 12, 1))
    assert problem.startswith(
        "a.yaml:6: pipelines.bright-volume: the clearance of 1.0.0 ended on 2026-11-30; install"
    )
    settings = written(folder, without)
    assert soon(settings, installed(settings), DAY, timedelta(days=30)) == [
        (
            "2026-12-01: results of bright-volume will stay here: "
            "the clearance of 1.0.0 ended on 2026-11-30"
        )
    ]
    assert soon(settings, installed(settings), DAY, timedelta(days=9)) == []


PARAMETERS = """\
parameters:
  - {name: bins, default: 256, meaning: Bins of the histogram.}
  - {name: any_kernel, default: false, meaning: Takes any kernel., shadow_only: true}
licence:"""


def test_a_parameter_for_shadow_alone_keeps_results_here(folder: Path) -> None:
    change(folder, "licence:", PARAMETERS)
    on = {"    release:": "    parameters: {any_kernel: true}\n    release:"}
    assert told(folder, on) == [
        (
            "a.yaml:8: pipelines.bright-volume.parameters.any_kernel: any_kernel may be set in "
            "shadow alone; leave it out, or leave send out of the route"
        )
    ]
    fine = "    parameters: {any_kernel: false, bins: 128}\n    release:"
    assert told(folder, {"    release:": fine}) == []


def test_values_that_the_manifest_does_not_know_are_told_with_the_nearest(folder: Path) -> None:
    change(folder, "licence:", PARAMETERS)
    wrong = {"    release:": "    parameters:\n      bin: 1\n      bins: many\n    release:"}
    with pytest.raises(ConfigError) as refused:
        installed(written(folder, wrong))
    assert refused.value.problems == (
        (
            "a.yaml:9: pipelines.bright-volume.parameters.bin: the pipeline has no such parameter; "
            "did you mean 'bins'?"
        ),
        "a.yaml:10: pipelines.bright-volume.parameters.bins: write a whole number, not 'many'",
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"role: second-reader": "role: boss"}, "a.yaml:10: pipelines.bright-volume.release.role"),
        ({"by: Dr. N. N.": "by: ''"}, "a.yaml:11: pipelines.bright-volume.release.by: "),
        ({"on: 2026-11-01": "on: soon"}, "a.yaml:12: pipelines.bright-volume.release.on: "),
        ({"on: 2026-11-01": "on: 2026-11-01\n      until: 2026-10-01"}, "a.yaml:13: "),
        ({"version: 1.0.0": "version: 1.0.0\n      digest: xyz"}, "a.yaml:10: "),
        ({"use: research": "use: play"}, "a.yaml:4: destinations.study.use: "),
    ],
)
def test_a_release_that_says_nothing_is_no_release(
    folder: Path, changes: Mapping[str, str], said: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        written(folder, changes)
    assert refused.value.problems[0].startswith(said)


def test_check_refuses_what_a_role_starts_with(folder: Path) -> None:
    """A clearance may end at night: images are received all the same, results stay here."""
    settings = written(folder, {RELEASE: ""})
    check_installation(settings)
    now = datetime(2026, 11, 21, tzinfo=UTC)
    with pytest.raises(ConfigError, match="is not released; write release"):
        check_everything(settings, now)
    change(folder, "meaning: Tissue", "meaning: Liver")
    check_installation(settings)
    with pytest.raises(ConfigError, match=r"SCT 85756007 means 'Tissue' or .* not 'Liver'"):
        check_everything(settings, now)


def run_of(digest: str) -> Job:
    return Job(
        job_id=1,
        run_uid="1.2",
        study_instance_uid="1.2.3",
        route="bright",
        pipeline="bright-volume",
        pipeline_version="1.0.0",
        pipeline_digest=digest,
        run_number=1,
        supersedes=None,
        state=JobState.RUNNING,
        priority=Priority.ROUTINE,
        attempt=1,
        worker="w1",
        created_at=START,
        started_at=START,
        finished_at=None,
        run_after=START,
        progress=0.0,
        phase="",
        reason="",
        shadow="",
        device=None,
        gaps=None,
        seconds={},
        inputs=(),
    )


def test_the_last_gate_knows_the_day_and_the_version_of_the_run(folder: Path) -> None:
    until = {"on: 2026-11-01": "on: 2026-11-01\n      until: 2026-11-21"}
    settings = written(folder, until)
    clock = SteppedClock()  # in the morning of 2026-11-21
    gate = Gate(settings, clock)
    first = installed(settings)["bright-volume"].digest
    assert gate.shadow_of(run_of(first)) == ""
    clock.advance(timedelta(days=1))
    assert gate.shadow_of(run_of(first)) == "the release ended on 2026-11-21"
    change(folder, "version: 1.0.0", "version: 1.1.0")
    second = installed(settings)["bright-volume"].digest
    assert gate.shadow_of(run_of(second)) == (
        "1.1.0 is not released; the release ended on 2026-11-21"
    )


def test_each_reason_is_said_once(folder: Path) -> None:
    (found,) = all_objections(
        settings := written(folder, {"      approval: ethics committee\n": ""}),
        installed(settings),
    ).values()
    assert reasons_on((*found, *found), DAY) == "it is for research, and pacs is in clinical use"


def test_another_version_in_a_folder_is_seen_once(folder: Path) -> None:
    clock = SteppedClock()
    watch = FolderWatch(installed(written(folder, {})), clock)
    change(folder, "version: 1.0.0", "version: 1.1.0")
    assert not watch.saw_another_version()  # it looks now and then
    clock.advance(timedelta(seconds=2))
    assert watch.saw_another_version()
    clock.advance(timedelta(seconds=2))
    assert not watch.saw_another_version()
