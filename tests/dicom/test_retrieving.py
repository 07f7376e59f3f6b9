"""C-MOVE and C-GET: from Orthanc, and from nodes that fail in every way of the standard."""

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, RLELossless
from pynetdicom import AE, evt
from pynetdicom.dimse_primitives import C_MOVE
from pynetdicom.dsutils import encode
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from appliance.core.clock import SystemClock
from appliance.core.errors import PeerError, PeerRefused
from appliance.core.model import Door
from appliance.peers.client import DicomClient
from appliance.peers.node import DicomNode
from appliance.peers.retrieving import Retrieved, SubOperations, Wanted
from appliance.peers.status import NO_ANSWER, Verdict
from scp.deposit import Claimed, Deposit, Depot, Source
from scp.spool import Spool
from scp.status import STATUSES
from tests.builders import mr_series, mr_slices, write
from tests.counterparts import HOST, Orthanc, free_port, orthanc, wait_until
from tests.receiving import PEERS, Told, receiver

GET, MOVE = StudyRootQueryRetrieveInformationModelGet, StudyRootQueryRetrieveInformationModelMove


def client(port: int, *, theirs: str = "ORTHANC") -> DicomClient:
    return DicomClient(
        DicomNode(
            name="pacs",
            ae_title=theirs,
            host=HOST,
            port=port,
            calling_ae_title="APPLIANCE",
            timeout=timedelta(seconds=10),
        )
    )


class _Slot:
    def __init__(self, deposit: Deposit) -> None:
        self._deposit = deposit
        self.write = deposit.write
        self.discard = deposit.discard

    def finish(self) -> int:
        return STATUSES[self._deposit.finish()].code


class Shelf:
    """A real spool, filled as the appliance fills it."""

    def __init__(self, root: Path, *, largest: int = 10**9, study: str = "") -> None:
        self.spool = Spool(root)
        self._study = study
        self._depot = Depot(self.spool, Told(), SystemClock(), largest=largest, refuse_below=0)

    def begin(self, sop_class: str, sop_instance: str, transfer_syntax: str) -> _Slot:
        source = Source(
            door=Door.FETCHED,
            calling_ae_title="ORTHANC",
            called_ae_title="APPLIANCE",
            peer_address=HOST,
            study_instance_uid=self._study,
        )
        claimed = Claimed(
            sop_class_uid=sop_class,
            sop_instance_uid=sop_instance,
            transfer_syntax_uid=transfer_syntax,
        )
        return _Slot(self._depot.begin(source, claimed))

    def data_sets(self) -> dict[str, bytes]:
        names = self.spool.new_entries()
        return {
            self.spool.read(n).sop_instance_uid: data_set_of(self.spool.path(n).read_bytes())
            for n in names
        }


def data_set_of(content: bytes) -> bytes:
    (length,) = struct.unpack_from("<I", content, 140)
    return content[144 + length :]


def quiet(_: SubOperations) -> None:
    """Take no note of the progress."""


@pytest.fixture(scope="module")
def receiver_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory, receiver_port: int) -> Iterator[Orthanc]:
    nodes = {"APPLIANCE": receiver_port}
    with orthanc(tmp_path_factory.mktemp("pacs"), modalities=nodes) as running:
        yield running


def stored(pacs: Orthanc, folder: Path, *syntaxes: str) -> tuple[Wanted, dict[str, bytes]]:
    """Put a series into the archive; return it, and each data set as the archive has it."""
    slices = mr_slices(slices=2 * len(syntaxes), rows=300, columns=300)
    for dataset, syntax in zip(slices, [*syntaxes, *syntaxes], strict=True):
        if syntax == RLELossless:
            dataset.compress(RLELossless)
    paths = [write(d, folder / f"{n}.dcm") for n, d in enumerate(slices)]
    for path in paths:
        pacs.post("/instances", path.read_bytes())
    first = slices[0]
    wanted = Wanted(
        study_instance_uid=first.StudyInstanceUID, series_instance_uid=first.SeriesInstanceUID
    )
    return wanted, {
        str(d.SOPInstanceUID): data_set_of(p.read_bytes())
        for d, p in zip(slices, paths, strict=True)
    }


def test_get_brings_each_data_set_byte_for_byte_in_the_syntax_that_it_has(
    pacs: Orthanc, tmp_path: Path
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    wanted, there = stored(pacs, folder, RLELossless, ExplicitVRLittleEndian)
    asked, shelf = client(pacs.port), Shelf(tmp_path / "spool")
    classes = asked.sop_classes(wanted.study_instance_uid, wanted.series_instance_uid)
    assert classes == dict.fromkeys(there, MRImageStorage)

    told: list[SubOperations] = []
    offer = [(MRImageStorage, syntax) for syntax in (ExplicitVRLittleEndian, RLELossless)]
    got = asked.get(wanted, offer, shelf, told.append)

    assert (got.verdict, got.completed, got.failed) == (Verdict.ACCEPTED, 4, 0)
    assert shelf.data_sets() == there
    received = [shelf.spool.read(name) for name in shelf.spool.new_entries()]
    assert {one.door for one in received} == {Door.FETCHED}
    assert {one.transfer_syntax_uid for one in received} == {RLELossless, ExplicitVRLittleEndian}
    assert told


def test_get_of_some_instances_brings_those_alone(pacs: Orthanc, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    wanted, there = stored(pacs, folder, ExplicitVRLittleEndian, ExplicitVRLittleEndian)
    some = tuple(sorted(there))[:2]
    shelf = Shelf(tmp_path / "spool")
    only = Wanted(
        study_instance_uid=wanted.study_instance_uid,
        series_instance_uid=wanted.series_instance_uid,
        sop_instance_uids=some,
    )
    got = client(pacs.port).get(only, [(MRImageStorage, ExplicitVRLittleEndian)], shelf, quiet)
    assert got.completed == 2
    assert sorted(shelf.data_sets()) == sorted(some)


def test_what_is_too_large_is_not_kept_and_is_told_to_the_node(
    pacs: Orthanc, tmp_path: Path
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    wanted, _ = stored(pacs, folder, ExplicitVRLittleEndian)
    shelf = Shelf(tmp_path / "spool", largest=10_000)
    got = client(pacs.port).get(wanted, [(MRImageStorage, ExplicitVRLittleEndian)], shelf, quiet)
    assert (got.verdict, got.completed) == (Verdict.RETRY, 0)
    assert shelf.data_sets() == {}
    assert not list((tmp_path / "spool" / "tmp").glob("*/*"))


def test_move_makes_the_node_send_to_our_receiver(
    pacs: Orthanc, receiver_port: int, tmp_path: Path
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    wanted, there = stored(pacs, folder, ExplicitVRLittleEndian)
    with receiver(tmp_path, port=receiver_port, peers=PEERS) as running:
        got = client(pacs.port).move(wanted, quiet)
        assert (got.verdict, got.completed, got.failed) == (Verdict.ACCEPTED, 2, 0)
        wait_until(lambda: len(running.spool.new_entries()) == 2)
        names = running.spool.new_entries()
        data_sets = {data_set_of(running.spool.path(name).read_bytes()) for name in names}
        assert data_sets == set(there.values())
        # Orthanc names us as who made it send: the files themselves tell that they were fetched.
        assert {running.spool.read(name).door for name in names} == {Door.FETCHED}


def test_move_to_a_receiver_that_is_down_says_what_to_look_at(
    pacs: Orthanc, tmp_path: Path
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    wanted, _ = stored(pacs, folder, ExplicitVRLittleEndian)
    got = client(pacs.port).move(wanted, quiet)
    assert got.verdict is Verdict.RETRY
    assert str(pacs.port) in got.text


def test_the_archive_lists_what_it_has_by_date_and_modality(pacs: Orthanc, tmp_path: Path) -> None:
    paths = mr_series(tmp_path, slices=3, StudyDate="20260131", StudyTime="0815")
    for path in paths:
        pacs.post("/instances", path.read_bytes())
    uid = str(dcmread(paths[0]).StudyInstanceUID)
    asked = client(pacs.port)
    (found,) = asked.list_studies(study_date="20260130-20260201", modality="MR")
    assert (found.study_instance_uid, found.study_date, found.instances) == (uid, "20260131", 3)
    assert found.modalities == ("MR",)
    assert asked.list_studies(study_date="20260130-20260201", modality="CT") == ()
    assert asked.list_studies(study_instance_uid=uid) == (found,)
    assert asked.list_studies(study_instance_uid="1.2.3.4") == ()


# -- nodes that fail ----------------------------------------------------------------------

WANTED = Wanted(study_instance_uid="1.2", series_instance_uid="1.3")


@contextmanager
def odd_node(model: str, handler: Callable[..., Any]) -> Iterator[int]:
    entity = AE("ODD")
    entity.add_supported_context(model)
    entity.add_supported_context(MRImageStorage, scu_role=True, scp_role=True)
    event = evt.EVT_C_GET if model == GET else evt.EVT_C_MOVE
    server = entity.start_server((HOST, 0), block=False, evt_handlers=[(event, handler)])
    try:
        yield int(server.socket.getsockname()[1])
    finally:
        with suppress(TimeoutError):
            wait_until(lambda: not entity.active_associations, seconds=1)
        entity.shutdown()


def moved(handler: Callable[..., Any]) -> Retrieved:
    with odd_node(MOVE, handler) as port:
        return client(port, theirs="ODD").move(WANTED, quiet)


def moved_by(status: int, *, failed: list[str] | None = None, completed: int = 0) -> Retrieved:
    """Return what becomes of a C-MOVE that a node answers with this status alone."""

    def answers(event: Any) -> Iterator[Any]:
        answer = C_MOVE()
        answer.MessageIDBeingRespondedTo = event.request.MessageID
        answer.AffectedSOPClassUID = event.request.AffectedSOPClassUID
        answer.Status = status
        answer.NumberOfCompletedSuboperations = completed
        if failed:
            identifier = Dataset()
            identifier.FailedSOPInstanceUIDList = failed
            answer.Identifier = BytesIO(encode(identifier, True, True))
        event.assoc.dimse.send_msg(answer, event.context.context_id)
        yield None, None

    return moved(answers)


@pytest.mark.parametrize(
    ("status", "verdict", "hint"),
    [
        (0xA701, Verdict.RETRY, "out of resources"),
        (0xA702, Verdict.RETRY, "does our receiver let it in"),
        (0xA801, Verdict.REFUSED, "does not know the move destination APPLIANCE: enter it"),
        (0xA900, Verdict.REFUSED, "does not fit"),
        (0x0122, Verdict.REFUSED, "retrieve"),
        (0x0124, Verdict.REFUSED, "APPLIANCE may not retrieve"),
        (0xC123, Verdict.RETRY, "its log"),
        (0xFE00, Verdict.RETRY, "cancelled"),
    ],
)
def test_each_status_of_a_move_says_what_to_do(status: int, verdict: Verdict, hint: str) -> None:
    got = moved_by(status)
    assert got.verdict is verdict
    assert hint in got.text
    assert f"{status:04X}" in got.text


def test_a_node_without_c_get_or_c_move_is_refused_with_the_other_way(tmp_path: Path) -> None:
    with (
        odd_node(MOVE, lambda _: iter(())) as port,
        pytest.raises(PeerRefused, match="retrieve: move"),
    ):
        client(port, theirs="ODD").get(
            WANTED, [(MRImageStorage, ExplicitVRLittleEndian)], Shelf(tmp_path), quiet
        )
    with (
        odd_node(GET, lambda _: iter(())) as port,
        pytest.raises(PeerRefused, match=r"does not offer .* - MOVE"),
    ):
        client(port, theirs="ODD").move(WANTED, quiet)


def test_a_node_that_is_down_is_worth_another_try() -> None:
    with pytest.raises(PeerError, match="does not answer"):
        client(free_port()).move(WANTED, quiet)


def test_no_wildcard_becomes_a_key() -> None:
    with pytest.raises(ValueError, match="not a UID"):
        client(1).move(Wanted(study_instance_uid="1.2", series_instance_uid="*"), quiet)


def test_failed_instances_are_named_and_worth_another_try() -> None:
    got = moved_by(0xB000, failed=["1.2.3", "1.2.4"], completed=5)
    assert (got.verdict, got.completed, got.failed) == (Verdict.RETRY, 5, 2)
    assert got.failed_uids == ("1.2.3", "1.2.4")


def test_a_node_that_breaks_off_has_given_no_answer() -> None:
    def aborts(event: Any) -> Iterator[Any]:
        event.assoc.abort()
        yield HOST, 1

    got = moved(aborts)
    assert (got.status, got.verdict) == (NO_ANSWER, Verdict.RETRY)


def got(shelf: Shelf, handler: Callable[..., Any]) -> Retrieved:
    with odd_node(GET, handler) as port:
        offer = [(MRImageStorage, ExplicitVRLittleEndian)]
        return client(port, theirs="ODD").get(WANTED, offer, shelf, quiet)


def test_what_a_node_sends_of_another_study_is_not_kept(tmp_path: Path) -> None:
    ours, other = (mr_slices(slices=1, StudyInstanceUID=uid)[0] for uid in ("1.2", "1.9"))

    def sends_both(_: Any) -> Iterator[Any]:
        yield 2
        yield 0xFF00, ours
        yield 0xFF00, other

    shelf = Shelf(tmp_path / "spool", study="1.2")
    result = got(shelf, sends_both)
    assert list(shelf.data_sets()) == [ours.SOPInstanceUID]
    assert (result.verdict, result.completed, result.failed) == (Verdict.RETRY, 1, 1)
    assert result.failed_uids == (other.SOPInstanceUID,)


def test_a_node_that_breaks_off_inside_a_data_set_leaves_no_half_of_it(tmp_path: Path) -> None:
    first, second = mr_slices(slices=2, rows=1200, columns=1200)

    def breaks_off(event: Any) -> Iterator[Any]:
        yield 2
        yield 0xFF00, first
        dul, sent = event.assoc.dul, 0
        connection = dul.socket.socket

        def send_some(data: bytes) -> None:
            nonlocal sent
            sent += len(data)
            if sent > 2_000_000:
                dul.event_queue.put("Evt17")  # the connection is closed
                connection.shutdown(socket.SHUT_RDWR)
            else:
                connection.sendall(data)

        dul.socket.send = send_some
        yield 0xFF00, second

    shelf = Shelf(tmp_path / "spool")
    result = got(shelf, breaks_off)
    assert list(shelf.data_sets()) == [first.SOPInstanceUID]
    assert (result.status, result.verdict) == (NO_ANSWER, Verdict.RETRY)
    assert not list((tmp_path / "spool" / "tmp").glob("*/*"))
