"""Asking and sending, against Orthanc, DCMTK and nodes that misbehave."""

import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, MRImageStorage, RLELossless
from pynetdicom import AE, evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind, Verification

from appliance.core.errors import BadInstance, PeerError, PeerRefused
from appliance.peers.client import DicomClient
from appliance.peers.node import DicomNode
from appliance.peers.status import NO_ANSWER, STORE_MEANINGS, Verdict, meaning_of
from tests.builders import ct_series, mr_series, mr_slices, write
from tests.counterparts import HOST, Orthanc, free_port, orthanc, storescp, wait_until


def client(port: int, *, theirs: str = "ORTHANC", ours: str = "APPLIANCE") -> DicomClient:
    return DicomClient(
        DicomNode(
            name="pacs",
            ae_title=theirs,
            host=HOST,
            port=port,
            calling_ae_title=ours,
            timeout=timedelta(seconds=10),
        )
    )


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc(
        tmp_path_factory.mktemp("pacs"),
        modalities={"APPLIANCE": free_port()},
        settings={"UnknownSopClassAccepted": False},
    ) as running:
        yield running


@contextmanager
def odd_node(
    handlers: list[tuple[Any, Callable[..., Any]]], *, only_from: list[str] | None = None
) -> Iterator[int]:
    """A node that answers as the handlers say."""
    entity = AE("ODD")
    for sop_class in (Verification, StudyRootQueryRetrieveInformationModelFind, MRImageStorage):
        entity.add_supported_context(sop_class)
    entity.require_calling_aet = only_from or []
    server = entity.start_server((HOST, 0), block=False, evt_handlers=handlers)
    try:
        yield int(server.socket.getsockname()[1])
    finally:
        with suppress(TimeoutError):
            wait_until(lambda: not entity.active_associations, seconds=1)
        entity.shutdown()


def data_set_of(content: bytes) -> bytes:
    (length,) = struct.unpack_from("<I", content, 140)
    return content[144 + length :]


def test_echo_reaches_orthanc(pacs: Orthanc) -> None:
    client(pacs.port).echo()


@pytest.mark.parametrize(
    ("theirs", "ours", "kind", "hint"),
    [
        ("NOBODY", "APPLIANCE", PeerRefused, "compare ae_title"),
        ("ORTHANC", "STRANGER", PeerError, "does it know our AE title STRANGER"),
    ],
)
def test_a_rejection_says_which_node_and_what_to_check(
    pacs: Orthanc, theirs: str, ours: str, kind: type[PeerError], hint: str
) -> None:
    with pytest.raises(kind, match=hint) as caught:
        client(pacs.port, theirs=theirs, ours=ours).find_study("1.2.3")
    assert f"pacs ({theirs} at 127.0.0.1:{pacs.port})" in str(caught.value)


def test_a_calling_title_that_is_not_known_is_refused_for_good() -> None:
    with odd_node([], only_from=["SOMEBODY"]) as port, pytest.raises(PeerRefused, match="enter it"):
        client(port, theirs="ODD").echo()


def test_a_node_that_stalls_inside_an_answer_is_given_up_at_its_time() -> None:
    released = threading.Event()

    def answers_half(event: Any) -> int:
        event.assoc.dul.socket.socket.sendall(struct.pack(">BBI", 4, 0, 500) + bytes(10))
        released.wait(20)
        return 0x0000

    with odd_node([(evt.EVT_C_ECHO, answers_half)]) as port:
        node = DicomNode(
            name="pacs",
            ae_title="ODD",
            host=HOST,
            port=port,
            calling_ae_title="APPLIANCE",
            timeout=timedelta(seconds=1),
        )
        began = time.monotonic()
        try:
            with pytest.raises(PeerError):
                DicomClient(node).echo()
            assert time.monotonic() - began < 15
        finally:
            released.set()


def test_a_node_that_is_down_is_worth_another_try() -> None:
    with pytest.raises(PeerError, match="does not answer") as caught:
        client(free_port()).echo()
    assert not isinstance(caught.value, PeerRefused)


def test_a_name_that_does_not_resolve_is_a_peer_error() -> None:
    node = DicomNode(
        name="pacs", ae_title="A", host="no-such-host.invalid", port=104, calling_ae_title="B"
    )
    with pytest.raises(PeerError, match="resolved"):
        DicomClient(node).echo()


def test_what_was_stored_is_found_by_study_series_and_instance(
    pacs: Orthanc, tmp_path: Path
) -> None:
    paths = mr_series(tmp_path, slices=3, PatientID="4711", AccessionNumber="A7")
    first = dcmread(paths[0])
    study, series = first.StudyInstanceUID, first.SeriesInstanceUID
    asked = client(pacs.port)
    assert asked.find_study(study) is None
    assert asked.series_counts(study) == {}

    outcomes = asked.store(paths)

    assert [o.path for o in outcomes] == paths
    assert all(o.accepted and not o.retry and o.status == 0 for o in outcomes)
    match = asked.find_study(study)
    assert match is not None
    assert (match.patient_id, match.accession_number) == ("4711", "A7")
    assert match.patient_birth_date == "19700101"
    assert asked.series_counts(study) == {series: 3}
    assert asked.has_instance(study, series, first.SOPInstanceUID)
    assert not asked.has_instance(study, series, "1.2.3.4.5")


def _insert_group_length(path: Path, *, implicit: bool) -> None:
    """A retired element that every library drops when it encodes a data set again."""
    content = path.read_bytes()
    start = len(content) - len(data_set_of(content))
    header = struct.pack("<HHI", 8, 0, 4) if implicit else struct.pack("<HH2sH", 8, 0, b"UL", 4)
    path.write_bytes(content[:start] + header + struct.pack("<I", 100) + content[start:])


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, RLELossless])
def test_data_sets_arrive_byte_for_byte_in_their_own_syntax(tmp_path: Path, syntax: str) -> None:
    slices = mr_slices(slices=2, rows=300, columns=300)
    for dataset in slices:
        if syntax == RLELossless:
            dataset.compress(RLELossless)
        else:
            dataset.file_meta.TransferSyntaxUID = syntax
    paths = [write(d, tmp_path / f"{n}.dcm") for n, d in enumerate(slices)]
    for path in paths:
        _insert_group_length(path, implicit=syntax == ImplicitVRLittleEndian)
    options = ["+xa"] if syntax == RLELossless else []
    with storescp(tmp_path / "received", "-B", "+B", *options) as port:  # bit preserving
        outcomes = client(port, theirs="ANY").store(paths)

    assert all(o.accepted for o in outcomes)
    received = {data_set_of(p.read_bytes()) for p in (tmp_path / "received").iterdir()}
    assert received == {data_set_of(p.read_bytes()) for p in paths}


def test_a_class_that_is_not_taken_is_an_outcome_of_its_own_and_not_retried(
    pacs: Orthanc, tmp_path: Path
) -> None:
    label_map = "1.2.840.10008.5.1.4.1.1.66.7"
    refused = write(mr_slices(slices=1, SOPClassUID=label_map)[0], tmp_path / "refused.dcm")
    (taken,) = ct_series(tmp_path / "ct", slices=1)

    first, second = client(pacs.port).store([refused, taken])

    assert (first.accepted, first.retry, first.status) == (False, False, 0x0122)
    assert "SOP class" in first.comment
    assert second.accepted


def test_a_file_that_is_no_dicom_is_named_before_anything_is_sent(
    pacs: Orthanc, tmp_path: Path
) -> None:
    text = tmp_path / "letter.txt"
    text.write_text("Dear colleague")
    with pytest.raises(BadInstance, match="letter"):
        client(pacs.port).store([text])


@pytest.mark.parametrize(
    ("status", "accepted", "retry"),
    [
        (0x0000, True, False),
        (0xB000, True, False),
        (0xA700, False, True),
        (0xA900, False, False),
        (0xC123, False, False),
        (0x0110, False, True),
        (0x0124, False, False),
    ],
)
def test_each_status_says_whether_to_try_again(
    tmp_path: Path, status: int, *, accepted: bool, retry: bool
) -> None:
    paths = mr_series(tmp_path, slices=1)
    with odd_node([(evt.EVT_C_STORE, lambda _: status)]) as port:
        (outcome,) = client(port, theirs="ODD").store(paths)
    assert (outcome.status, outcome.accepted, outcome.retry) == (status, accepted, retry)


def test_an_unknown_status_is_worth_another_try_and_no_two_rows_overlap() -> None:
    assert meaning_of(0x9999).verdict is Verdict.RETRY
    rows = sorted(STORE_MEANINGS, key=lambda row: row.first)
    assert all(a.last < b.first for a, b in pairwise(rows))


def test_a_node_that_breaks_off_leaves_the_rest_to_be_sent_again(tmp_path: Path) -> None:
    paths = mr_series(tmp_path, slices=3)
    seen: list[int] = []

    def aborts_at_the_second(event: Any) -> int:
        seen.append(1)
        if len(seen) == 2:
            event.assoc.abort()
        return 0x0000

    with odd_node([(evt.EVT_C_STORE, aborts_at_the_second)]) as port:
        outcomes = client(port, theirs="ODD").store(paths)

    assert [o.accepted for o in outcomes] == [True, False, False]
    assert all(o.retry and o.status == NO_ANSWER for o in outcomes[1:])


def test_answers_about_other_studies_and_instances_are_not_believed() -> None:
    def answers_with_another(event: Any) -> Iterator[tuple[int, Dataset]]:
        answer = Dataset()
        answer.QueryRetrieveLevel = event.identifier.QueryRetrieveLevel
        answer.StudyInstanceUID = "9.9"
        answer.SeriesInstanceUID = "9.9.9"
        answer.SOPInstanceUID = "9.9.9.9"
        answer.PatientID = "OTHER"
        answer.NumberOfSeriesRelatedInstances = "7"
        yield 0xFF00, answer

    with odd_node([(evt.EVT_C_FIND, answers_with_another)]) as port:
        asked = client(port, theirs="ODD")
        assert asked.find_study("1.2") is None
        assert asked.series_counts("1.2") == {}
        assert not asked.has_instance("1.2", "1.3", "1.4")


def test_one_study_with_two_patients_is_an_error() -> None:
    def answers_with_two(event: Any) -> Iterator[tuple[int, Dataset]]:
        for patient in ("ONE", "TWO"):
            answer = Dataset()
            answer.QueryRetrieveLevel = "STUDY"
            answer.StudyInstanceUID = event.identifier.StudyInstanceUID
            answer.PatientID = patient
            yield 0xFF00, answer

    with (
        odd_node([(evt.EVT_C_FIND, answers_with_two)]) as port,
        pytest.raises(PeerError, match="different patients") as caught,
    ):
        client(port, theirs="ODD").find_study("1.2")
    assert "ONE" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "refused"), [(0xA700, False), (0xA900, True), (0xC001, False), (0xFE00, False)]
)
def test_a_query_that_fails_says_so(status: int, *, refused: bool) -> None:
    def fails(_: Any) -> Iterator[tuple[int, None]]:
        yield status, None

    with odd_node([(evt.EVT_C_FIND, fails)]) as port, pytest.raises(PeerError) as caught:
        client(port, theirs="ODD").find_study("1.2")
    assert isinstance(caught.value, PeerRefused) is refused
    assert f"{status:04X}" in str(caught.value)


def test_a_count_that_is_missing_is_not_known() -> None:
    def counts_nothing(event: Any) -> Iterator[tuple[int, Dataset]]:
        answer = Dataset()
        answer.QueryRetrieveLevel = "SERIES"
        answer.StudyInstanceUID = event.identifier.StudyInstanceUID
        answer.SeriesInstanceUID = "1.2.3"
        yield 0xFF00, answer

    with odd_node([(evt.EVT_C_FIND, counts_nothing)]) as port:
        assert client(port, theirs="ODD").series_counts("1.2") == {"1.2.3": None}


@pytest.mark.parametrize("uid", ["", "*", "1.2\\1.3", "1.2?"])
def test_no_wildcard_becomes_a_key(uid: str) -> None:
    with pytest.raises(ValueError, match="not a UID"):
        client(1).find_study(uid)
