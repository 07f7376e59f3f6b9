"""What an outside program made goes through worker and outbox into a real archive, or nowhere."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from appliance.core.model import Job
from appliance.core.states import DeliveryState, JobState
from results_store.jobs import SendTo
from tests.commands import write_folder
from tests.counterparts import Orthanc, dciodvfy_errors, free_port, orthanc
from tests.jobs_world import FOLDER_OF, World
from tests.system.test_result_in_orthanc import client_of, courier_of, deliver, held_by

OUTSIDE = "outside"
SEND = (SendTo(destination="pacs", objects=("seg", "sr", "sc")),)


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    folder = tmp_path_factory.mktemp("pacs")
    with orthanc(folder, modalities={"APPLIANCE": free_port()}) as running:
        yield running


def world_of(folder: Path, do: str) -> World:
    """Return a world that has a pipeline of a program which does this."""
    manifest = {"parameters": [{"name": "do", "default": do, "meaning": "What it does."}]}
    adopt = ["seg", "sr", "sc", "pdf"]
    outside = write_folder(folder / "pipeline", OUTSIDE, manifest=manifest, adopt=adopt)
    return World(folder, pipelines=FOLDER_OF | {OUTSIDE: outside})


def finished(world: World, state: JobState) -> Job:
    """Submit a study for the program, let a worker do it, and return the job."""
    job = world.submit(OUTSIDE, send=SEND)
    worker = world.worker()
    world.work(worker, lambda: world.store.jobs.get(job.job_id).state is state)
    return world.store.jobs.get(job.job_id)


def test_what_the_route_names_arrives_and_the_rest_stays(tmp_path: Path, pacs: Orthanc) -> None:
    world = world_of(tmp_path, "seg+sr;sc;pdf")
    try:
        job = finished(world, JobState.DONE)
        client = client_of(pacs)
        client.store([world.folder / job.inputs[0].spool_name])
        deliver(world, courier_of(world, client), job, DeliveryState.DELIVERED)
        there = held_by(pacs, job.study_instance_uid)
        assert there.keys() == {"MR", "SEG", "SR", "OT"}
        objects = world.store.results.objects(job.job_id)
        assert {item.kind for item in objects} == {"seg", "sr", "sc", "pdf"}
        assert [item.name for item in world.store.results.segments(job.job_id)] == ["Bright"]
        image = pydicom.dcmread(world.folder / job.inputs[0].spool_name)
        for modality in ("SEG", "SR"):
            path = tmp_path / f"{modality}.dcm"
            path.write_bytes(pacs.file(there[modality]))
            assert dciodvfy_errors(path) == []
            result = pydicom.dcmread(path)
            assert result.PatientID == image.PatientID
            assert result.SOPInstanceUID in {item.sop_instance_uid for item in objects}
    finally:
        world.close()


def test_an_object_of_another_patient_fails_the_job_and_nothing_leaves(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    world = world_of(tmp_path, 'seg+sr;sc={"PatientID": "SOMEBODY-ELSE"}')
    try:
        job = finished(world, JobState.FAILED)
        assert "is not taken: PatientID differs from the images'" in job.reason
        assert "SOMEBODY" not in job.reason + caplog.text
        assert world.store.results.objects(job.job_id) == ()
        assert world.store.deliveries.of_study(job.study_instance_uid) == ()
        other = world.submit()  # the queue goes on
        worker = world.worker()
        world.work(worker, lambda: world.store.jobs.get(other.job_id).state is JobState.DONE)
    finally:
        world.close()
