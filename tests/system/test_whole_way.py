"""A study in, results out: real processes, real peers, real sockets."""

import json
import shutil
from pathlib import Path

import pytest
from pydicom import dcmread

from appliance.core.crashpoints import CrashPoint
from appliance.core.states import DeliveryState, JobState, RouteState
from tests.appliance import BRIGHT_ROUTE, PIPELINES, Appliance, appliance, settings
from tests.builders import ct_series
from tests.counterparts import Orthanc, free_port, orthanc, storescu, wait_until
from tests.system.phantom import BLOCK_ML, phantom_series, study_of

RESULT_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.88.34": "sr",  # Comprehensive 3D SR
    "1.2.840.10008.5.1.4.1.1.66.4": "seg",
}


def results_in(pacs: Orthanc, study: str) -> list[str]:
    """Return the kinds of results that Orthanc holds in this study, one entry an instance."""
    found = pacs.post("/tools/find", {"Level": "Instance", "Query": {"StudyInstanceUID": study}})
    classes = [pacs.tags(instance)["SOPClassUID"] for instance in found]
    return sorted(RESULT_CLASSES[c] for c in classes if c in RESULT_CLASSES)


def test_results_arrive_in_the_study_that_they_are_about(
    pacs: Orthanc, site: Appliance, phantom: list[Path]
) -> None:
    study = study_of(phantom)
    storescu(pacs.port, phantom, called="ORTHANC")
    storescu(site.receiver_port, phantom)
    site.wait_for_deliveries(study, DeliveryState.DELIVERED)
    assert results_in(pacs, study) == ["seg", "sr"]
    (job,) = site.store.jobs.of_study(study)
    (finding,) = site.store.results.findings(job.job_id)
    assert finding.measurements[0].value == pytest.approx(BLOCK_ML)


def test_our_own_result_that_comes_back_starts_nothing(
    pacs: Orthanc, site: Appliance, phantom: list[Path]
) -> None:
    study = study_of(phantom)
    storescu(site.receiver_port, phantom)
    site.wait_for_deliveries(study, DeliveryState.DELIVERED)
    before = len(site.events("instance.own"))
    own = pacs.post("/tools/find", {"Level": "Instance", "Query": {"StudyInstanceUID": study}})
    assert len(own) == 2
    pacs.post("/modalities/APPLIANCE/store", own)
    wait_until(lambda: len(site.events("instance.own")) == before + 2)
    assert len(site.store.jobs.of_study(study)) == 1
    assert [s.state for s in site.store.routes.of_study(study)] == [RouteState.CLOSED]


def test_the_same_images_under_another_header_correct_the_identity_and_run_nothing(
    site: Appliance, phantom: list[Path]
) -> None:
    """As where a modality sends to us and to the PACS, and the PACS sends on what it corrected."""
    study = study_of(phantom)
    storescu(site.receiver_port, phantom)
    site.wait_for_jobs(study, JobState.DONE)
    for path in phantom:
        dataset = dcmread(path)
        dataset.AccessionNumber = "CORRECTED"
        dataset.save_as(path)
    storescu(site.receiver_port, phantom)
    wait_until(lambda: _updated(site, study) == len(phantom))
    (job,) = site.store.jobs.of_study(study)
    assert len(site.store.studies.instances(study)) == len(phantom)
    page = site.page(study)
    assert "Made under an earlier identity" in page
    assert "another accession number" in page
    assert job.state is JobState.DONE


def _updated(site: Appliance, study: str) -> int:
    events = site.events("instance.updated")
    return sum(one["count"] for one in events if one["study_instance_uid"] == study)


BEFORE_THE_ANSWER = (CrashPoint.LANDING_BEFORE_WRITE, CrashPoint.LANDING_AFTER_WRITE)
RECEIVING = (
    *BEFORE_THE_ANSWER,
    CrashPoint.SPOOL_BEFORE_LINK,
    CrashPoint.SPOOL_AFTER_LINK,
    CrashPoint.LANDING_BEFORE_UNLINK,
)


@pytest.mark.parametrize("point", [point for point in CrashPoint if point not in RECEIVING])
def test_a_kill_at_a_hand_over_loses_and_doubles_nothing(
    pacs: Orthanc, site: Appliance, tmp_path: Path, point: CrashPoint
) -> None:
    paths = phantom_series(tmp_path / "study")
    armed = site.crash_folder / point.value
    armed.touch()
    storescu(site.receiver_port, paths)
    arrives_once(pacs, site, paths)
    assert not armed.exists(), "the process never came to this point"


def test_a_kill_while_receiving_loses_and_doubles_nothing(pacs: Orthanc, tmp_path: Path) -> None:
    """A sender that got no answer, as after a power cut, sends the whole study again."""
    patient = {**BRIGHT_ROUTE["complete"], "quiet": "8 s", "at_most": "60 s"}
    data = settings(tmp_path, pacs.port) | {"routes": [{**BRIGHT_ROUTE, "complete": patient}]}
    with appliance(tmp_path, data) as site:
        studies = [phantom_series(tmp_path / point.value) for point in RECEIVING]
        for point, paths in zip(RECEIVING, studies, strict=True):
            armed = site.crash_folder / point.value
            armed.touch()
            answered = _accepts(site, paths)
            wait_until(lambda armed=armed: not armed.exists())
            assert not (answered and point in BEFORE_THE_ANSWER)
            if not answered:
                wait_until(lambda paths=paths: _accepts(site, paths), 60)
        for paths in studies:
            arrives_once(pacs, site, paths)


def arrives_once(pacs: Orthanc, site: Appliance, paths: list[Path]) -> None:
    """Wait until the study is delivered; assert that all of it is here, and everything once."""
    study = study_of(paths)
    site.wait_for_deliveries(study, DeliveryState.DELIVERED, 90)
    assert results_in(pacs, study) == ["seg", "sr"]
    (job,) = site.store.jobs.of_study(study)
    assert job.state is JobState.DONE
    assert len(site.store.studies.instances(study)) == len(paths)


def _accepts(site: Appliance, paths: list[Path]) -> bool:
    try:
        storescu(site.receiver_port, paths)
    except AssertionError:
        return False
    return True


def test_a_shadow_route_leaves_the_pacs_untouched(
    pacs: Orthanc, tmp_path: Path, phantom: list[Path]
) -> None:
    shadow = {key: value for key, value in BRIGHT_ROUTE.items() if key != "send"}
    data = settings(tmp_path, pacs.port) | {"routes": [shadow]}
    study = study_of(phantom)
    with appliance(tmp_path, data) as site:
        storescu(site.receiver_port, phantom)
        site.wait_for_jobs(study, JobState.DONE)
        assert not site.store.deliveries.of_study(study)
        assert "0.06" in site.page(study)
    found = pacs.post("/tools/find", {"Level": "Study", "Query": {"StudyInstanceUID": study}})
    assert found == []


def _starts(site: Appliance, role: str) -> int:
    return sum(event["role"] == role for event in site.events("service.started"))


def test_another_version_in_the_folder_of_a_running_appliance_runs_in_shadow(
    pacs: Orthanc, tmp_path: Path, phantom: list[Path]
) -> None:
    folder = tmp_path / "pipeline"
    shutil.copytree(PIPELINES / "bright_volume", folder)
    data = settings(tmp_path, pacs.port)
    data["pipelines"]["bright-volume"]["path"] = str(folder)
    with appliance(tmp_path, data) as site:
        manifest = folder / "pipeline.yaml"
        manifest.write_text(manifest.read_text().replace("version: 1.0.0", "version: 1.1.0"))
        wait_until(lambda: _starts(site, "orchestrate") == 2, 60)
        storescu(site.receiver_port, phantom)
        study = study_of(phantom)
        (job,) = site.wait_for_jobs(study, JobState.DONE)
        assert (job.pipeline_version, job.shadow) == ("1.1.0", "1.1.0 is not released")
        assert not site.store.deliveries.of_study(study)
        said = site.command("check", code=78).replace("\n", " ")
        assert "1.1.0 is not released; 1.0.0 is; write version: 1.1.0" in said
        registered = site.store.registry.versions()
        assert [(one.version, one.runs) for one in registered] == [("1.1.0", 1), ("1.0.0", 0)]
        assert [len(one.releases) for one in registered] == [0, 1]


def test_a_study_for_no_route_is_kept_and_told_why(site: Appliance, tmp_path: Path) -> None:
    paths = ct_series(tmp_path / "ct")
    study = study_of(paths)
    storescu(site.receiver_port, paths)
    site.wait_for_route(study, RouteState.CLOSED)
    assert not site.store.jobs.of_study(study)
    stored = json.loads(site.command("explain", study, "--json"))
    folder = json.loads(site.command("explain", str(tmp_path / "ct"), "--json"))
    assert stored["decisions"] == folder["decisions"]
    (decision,) = stored["decisions"]
    assert not decision["matched"]
    assert "Modality" in json.dumps(decision["reasons"])
    assert "Modality" in site.page(study)


def test_a_missing_slice_is_refused_with_its_place_and_nothing_else_stops(
    site: Appliance, tmp_path: Path, phantom: list[Path]
) -> None:
    gapped = phantom_series(tmp_path / "gapped")
    del gapped[4]
    for paths in (gapped, phantom):
        storescu(site.receiver_port, paths)
    (job,) = site.wait_for_jobs(study_of(gapped), JobState.REFUSED)
    assert "missing" in job.reason
    assert job.reason in site.page(study_of(gapped))
    site.wait_for_jobs(study_of(phantom), JobState.DONE)


def test_a_paused_pipeline_waits_and_goes_on(site: Appliance, phantom: list[Path]) -> None:
    study = study_of(phantom)
    site.command("pause", "pipeline", "bright-volume")
    storescu(site.receiver_port, phantom)
    site.wait_for_jobs(study, JobState.QUEUED)
    assert "pipeline bright-volume" in site.command("status")
    site.command("resume", "pipeline", "bright-volume")
    site.wait_for_jobs(study, JobState.DONE)


def test_a_destination_that_is_down_gets_the_same_bytes_later(
    tmp_path: Path, phantom: list[Path]
) -> None:
    port = free_port()
    with appliance(tmp_path, settings(tmp_path, port)) as site:
        study = study_of(phantom)
        storescu(site.receiver_port, phantom)
        site.wait_for_jobs(study, JobState.DONE)
        wait_until(lambda: all(d.attempt for d in site.store.deliveries.of_study(study)), 30)
        with orthanc(tmp_path, modalities={"APPLIANCE": 1}, port=port) as pacs:
            site.wait_for_deliveries(study, DeliveryState.DELIVERED)
            assert results_in(pacs, study) == ["seg", "sr"]


def test_a_result_is_held_when_the_pacs_names_another_patient(
    pacs: Orthanc, site: Appliance, tmp_path: Path
) -> None:
    paths = phantom_series(tmp_path / "before", PatientID="ANOTHER")
    study = study_of(paths)
    storescu(pacs.port, paths, called="ORTHANC")
    for path in paths:
        dataset = dcmread(path)
        dataset.PatientID = "SYNTHETIC-1"
        dataset.save_as(path)
    storescu(site.receiver_port, paths)
    deliveries = site.wait_for_deliveries(study, DeliveryState.HELD)
    assert all("identity" in delivery.reason for delivery in deliveries)
    assert results_in(pacs, study) == []


@pytest.mark.parametrize("issuer", ["", "TEST"])
def test_a_patient_without_an_issuer_is_the_same_patient(
    pacs: Orthanc, site: Appliance, tmp_path: Path, issuer: str
) -> None:
    """Many archives and modalities leave (0010,0021) out; the ID alone decides then."""
    paths = phantom_series(tmp_path / "archive", IssuerOfPatientID="TEST" if not issuer else None)
    study = study_of(paths)
    storescu(pacs.port, paths, called="ORTHANC")
    for path in paths:
        dataset = dcmread(path)
        dataset.IssuerOfPatientID = issuer
        dataset.save_as(path)
    storescu(site.receiver_port, paths)
    site.wait_for_deliveries(study, DeliveryState.DELIVERED)
