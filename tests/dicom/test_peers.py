"""What we ask of other nodes, and what we make of their answers."""

import gc
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import JPEGLSLossless

from appliance.core.errors import PeerError, PeerRefused
from appliance.peers import DicomClient, DicomNode
from appliance.peers.status import outcome
from tests.builders import encapsulated_pdf, mr_series, write
from tests.counterparts import HOST, Orthanc, free_port, orthanc, storescp


def node(port: int, **changes: object) -> DicomNode:
    values = {
        "name": "pacs",
        "ae_title": "ORTHANC",
        "host": HOST,
        "port": port,
        "calling_ae_title": "APPLIANCE",
        "timeout": timedelta(seconds=10),
    }
    return DicomNode(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    folder = tmp_path_factory.mktemp("peers")
    with orthanc(folder, modalities={"APPLIANCE": free_port()}) as running:
        yield running


def test_a_stored_study_is_found_with_its_patient_and_counts(pacs: Orthanc, tmp_path: Path) -> None:
    client = DicomClient(node(pacs.port))
    paths = mr_series(tmp_path, slices=4, PatientID="P-1", AccessionNumber="A-1")
    first = dcmread(paths[0])
    client.echo()
    assert client.find_study(first.StudyInstanceUID) is None
    assert all(o.accepted for o in client.store(paths))
    match = client.find_study(first.StudyInstanceUID)
    assert match is not None
    assert (match.patient_id, match.accession_number) == ("P-1", "A-1")
    assert client.series_counts(first.StudyInstanceUID) == {first.SeriesInstanceUID: 4}
    where = (first.StudyInstanceUID, first.SeriesInstanceUID)
    assert client.has_instance(*where, first.SOPInstanceUID)
    assert not client.has_instance(*where, "1.2.3")


def test_a_file_is_sent_byte_for_byte(tmp_path: Path) -> None:
    (path,) = mr_series(tmp_path / "out", slices=1)
    received = tmp_path / "in"
    with storescp(received, "+B", "-aet", "ANY") as port:
        (answer,) = DicomClient(node(port, ae_title="ANY")).store([path])
    assert answer.accepted
    (copy,) = received.iterdir()
    assert _data_set(copy) == _data_set(path)


def _data_set(path: Path) -> bytes:
    data = path.read_bytes()
    length = int.from_bytes(data[140:144], "little")  # (0002,0000) File Meta Group Length
    return data[144 + length :]


def test_an_object_for_which_no_context_is_accepted_is_not_tried_again(tmp_path: Path) -> None:
    (image,) = mr_series(tmp_path / "image", slices=1)
    document = write(encapsulated_pdf(), tmp_path / "document.dcm")
    dataset = dcmread(document)
    dataset.file_meta.TransferSyntaxUID = JPEGLSLossless  # storescp takes uncompressed ones alone
    dataset.save_as(document)
    with storescp(tmp_path / "in", "+x=") as port:
        stored, refused = DicomClient(node(port)).store([image, document])
    assert stored.accepted
    assert not refused.accepted
    assert not refused.retry


def test_an_unknown_calling_title_is_refused_for_good(pacs: Orthanc) -> None:
    client = DicomClient(node(pacs.port, calling_ae_title="STRANGER"))
    with pytest.raises(PeerError, match="pacs"):
        client.find_study("1.2.3")


def test_a_wrong_called_title_says_what_to_check(pacs: Orthanc) -> None:
    with pytest.raises(PeerRefused, match="AE title APPLIANCE"):
        DicomClient(node(pacs.port, ae_title="WRONG")).echo()


# pynetdicom 3.0.4 leaves a socket whose connection was refused to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_peer_that_is_down_may_be_tried_again() -> None:
    with pytest.raises(PeerError, match="cannot be reached") as caught:
        DicomClient(node(free_port())).echo()
    assert not isinstance(caught.value, PeerRefused)
    del caught
    gc.collect()


@pytest.mark.parametrize(
    ("status", "accepted", "retry"),
    [
        (0x0000, True, False),
        (0xB006, True, False),
        (0xA700, False, True),
        (0xA901, False, False),
        (0xC123, False, False),
        (0x0122, False, False),
        (0x0213, False, True),
        (0x9999, False, True),
    ],
)
def test_statuses_say_whether_to_try_again(status: int, accepted: bool, retry: bool) -> None:
    said = outcome(status, "comment")
    assert (said.accepted, said.retry) == (accepted, retry)
    assert "comment" in said.comment
