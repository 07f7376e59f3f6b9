"""A run's objects go over the network to a real archive, by the real client, and are proven."""

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pydicom
import pytest

from appliance.core.backoff import Backoff
from appliance.core.model import Delivery, Job
from appliance.core.states import DeliveryState, JobState
from appliance.delivery.courier import Courier
from appliance.delivery.lane import NotFound
from appliance.delivery.options import CourierOptions, DestinationOptions
from appliance.peers.client import DicomClient
from appliance.peers.node import DicomNode
from tests.builders import write
from tests.counterparts import HOST, Orthanc, free_port, orthanc, wait_until
from tests.jobs_world import World

SOON = Backoff(first=timedelta(milliseconds=50), longest=timedelta(seconds=1), attempts=5)


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    folder = tmp_path_factory.mktemp("pacs")
    with orthanc(folder, modalities={"APPLIANCE": free_port()}) as running:
        yield running


def client_of(pacs: Orthanc) -> DicomClient:
    return DicomClient(
        DicomNode(
            name="pacs",
            ae_title=pacs.ae_title,
            host=HOST,
            port=pacs.port,
            calling_ae_title="APPLIANCE",
            timeout=timedelta(seconds=5),
        )
    )


def courier_of(world: World, client: DicomClient) -> Courier:
    def identity_of(delivery: Delivery) -> str | NotFound | None:
        match = client.find_study(delivery.study_instance_uid)
        return NotFound.NOT_FOUND if match is None else match.patient_id.lower()

    options = CourierOptions(
        name="c1",
        destinations=(DestinationOptions(name="pacs", send=SOON),),
        results=world.results,
        poll=timedelta(milliseconds=50),
        prove=SOON,
    )
    return Courier(options, world.store, {"pacs": client}, identity_of, world.clock)


def finished(world: World) -> Job:
    job = world.submit()
    worker = world.worker()
    world.work(worker, lambda: world.store.jobs.get(job.job_id).state is JobState.DONE)
    return job


def deliver(world: World, courier: Courier, job: Job, state: DeliveryState) -> None:
    def there() -> bool:
        courier.step()
        deliveries = world.store.deliveries.of_study(job.study_instance_uid)
        return {item.state for item in deliveries} == {state}

    try:
        wait_until(there, 30)
    finally:
        courier.close()


def held_by(pacs: Orthanc, study: str) -> dict[str, str]:
    """Return Orthanc's instances of a study by modality."""
    tags = {number: pacs.tags(number) for number in pacs.instances()}
    return {t["Modality"]: n for n, t in tags.items() if t["StudyInstanceUID"] == study}


def test_report_and_segmentation_arrive_and_are_proven(world: World, pacs: Orthanc) -> None:
    job = finished(world)
    deliver(world, courier_of(world, client_of(pacs)), job, DeliveryState.DELIVERED)
    assert held_by(pacs, job.study_instance_uid).keys() == {"SR", "SEG"}


def test_a_resend_leaves_one_copy_of_the_same_bytes(world: World, pacs: Orthanc) -> None:
    job = finished(world)
    deliver(world, courier_of(world, client_of(pacs)), job, DeliveryState.DELIVERED)
    before = held_by(pacs, job.study_instance_uid)
    hashes = [hashlib.sha256(pacs.file(number)).hexdigest() for number in before.values()]
    for item in world.store.deliveries.of_study(job.study_instance_uid):
        world.store.commands.resend(item.delivery_id)
    deliver(world, courier_of(world, client_of(pacs)), job, DeliveryState.DELIVERED)
    assert held_by(pacs, job.study_instance_uid) == before
    again = [hashlib.sha256(pacs.file(number)).hexdigest() for number in before.values()]
    assert again == hashes


def test_a_patient_merged_in_the_archive_meanwhile_holds_the_result(
    world: World, pacs: Orthanc
) -> None:
    job = finished(world)
    image = pydicom.dcmread(world.folder / job.inputs[0].spool_name)
    image.PatientID = "OTHER"
    client = client_of(pacs)
    assert client.store([write(image, world.folder / "merged.dcm")])[0].accepted
    deliver(world, courier_of(world, client), job, DeliveryState.HELD)
    deliveries = world.store.deliveries.of_study(job.study_instance_uid)
    assert {item.reason for item in deliveries} == {"identity-changed"}
    assert held_by(pacs, job.study_instance_uid).keys() == {"MR"}


def test_the_issuer_of_the_patient_id_comes_back_from_the_archive(
    world: World, pacs: Orthanc
) -> None:
    job = finished(world)
    client = client_of(pacs)
    client.store([world.folder / job.inputs[0].spool_name])
    match = client.find_study(job.study_instance_uid)
    assert match is not None
    assert match.issuer_of_patient_id == "TEST"


def test_an_archive_that_is_down_is_tried_until_it_is_up(world: World, tmp_path: Path) -> None:
    job, port = finished(world), free_port()
    node = DicomNode(
        name="pacs",
        ae_title="ORTHANC",
        host=HOST,
        port=port,
        calling_ae_title="APPLIANCE",
        timeout=timedelta(seconds=5),
    )
    courier = courier_of(world, DicomClient(node))
    deliveries = world.store.deliveries
    wait_until(lambda: courier.step() and deliveries.of_study(job.study_instance_uid)[0].reason)
    states = [item.state for item in deliveries.of_study(job.study_instance_uid)]
    assert states == [DeliveryState.PENDING] * 2
    with orthanc(tmp_path, modalities={"APPLIANCE": free_port()}, port=port) as pacs:
        deliver(world, courier, job, DeliveryState.DELIVERED)
        assert held_by(pacs, job.study_instance_uid).keys() == {"SR", "SEG"}
