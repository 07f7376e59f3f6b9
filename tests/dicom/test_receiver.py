"""The receiver over real sockets, against senders of others."""

import hashlib
import json
import logging
import socket
import struct
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    MRImageStorage,
    RLELossless,
)
from pynetdicom import AE
from pynetdicom.dimse_primitives import C_STORE

from appliance.core.clock import SystemClock
from appliance.core.log import Event
from appliance.core.model import ReceivedInstance
from scp.options import AllowedPeer, ReceiverOptions
from scp.server import Receiver
from scp.spool import Spool
from tests.builders import ct_slices, encapsulated_pdf, mr_series, mr_slices, write
from tests.counterparts import HOST, echoscu, orthanc, storescu, wait_until

LOCAL = ("127.0.0.0/8",)
PEERS = (
    AllowedPeer(ae_title="STORESCU", networks=LOCAL),
    AllowedPeer(ae_title="ECHOSCU", networks=LOCAL),
    AllowedPeer(ae_title="ORTHANC", networks=LOCAL),
    AllowedPeer(ae_title="FARAWAY", networks=("10.0.0.0/8",)),
    AllowedPeer(ae_title="STANDARD", networks=LOCAL, accept_private_storage=False),
)
PRIVATE_CLASS = "1.2.3.4.5.6.7"


Events = Callable[[Event], list[Mapping[str, Any]]]


class Told:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.instances: list[ReceivedInstance] = []

    def received(self, instance: ReceivedInstance) -> None:
        self.instances.append(instance)


class Running:
    """A receiver and what it left behind."""

    def __init__(self, root: Path, options: ReceiverOptions) -> None:
        self.spool = Spool(root)
        self.sink = Told()
        self.receiver = Receiver(options, self.spool, self.sink, SystemClock())
        self.port = self.receiver.port

    def only(self) -> ReceivedInstance:
        (name,) = self.spool.new_entries()
        return self.spool.read(name)


def options(**changes: Any) -> ReceiverOptions:
    values: dict[str, Any] = {
        "ae_title": "APPLIANCE",
        "host": HOST,
        "port": 0,
        "peers": PEERS,
        "refuse_below_bytes": 0,
        "warn_below_bytes": 0,
        "network_timeout": timedelta(seconds=20),
    }
    return ReceiverOptions(**{**values, **changes})


@contextmanager
def receiver(root: Path, **changes: Any) -> Iterator[Running]:
    running = Running(root / "spool", options(**changes))
    running.receiver.start()
    try:
        yield running
    finally:
        running.receiver.stop()


@pytest.fixture
def events(caplog: pytest.LogCaptureFixture) -> Events:
    caplog.set_level(logging.INFO, "appliance")

    def of(event: Event) -> list[Mapping[str, Any]]:
        records = [r for r in caplog.records if r.getMessage() == event.value]
        return [record.__dict__["fields"] for record in records]

    return of


@contextmanager
def association(
    port: int,
    *contexts: tuple[str, list[str]],
    calling: str = "STORESCU",
    called: str = "APPLIANCE",
) -> Iterator[Any]:
    """An association by stock pynetdicom, through which raw bytes can be sent."""
    entity = AE(calling)
    for abstract_syntax, transfer_syntaxes in contexts or ((MRImageStorage, [ExplicitVR]),):
        entity.add_requested_context(abstract_syntax, transfer_syntaxes)
    made = entity.associate(HOST, port, ae_title=called)
    try:
        yield made
    finally:
        if made.is_established:
            made.release()


ExplicitVR = str(ExplicitVRLittleEndian)


def encoded(dataset: Dataset) -> bytes:
    stream = BytesIO()
    plain = Dataset({element.tag: element for element in dataset})
    dcmwrite(stream, plain, implicit_vr=False, little_endian=True)
    return stream.getvalue()


def send(made: Any, data: bytes, *, sop_class: str | None, sop_instance: str | None) -> Dataset:
    """Send any bytes as a data set; return the response's command."""
    made._reactor_checkpoint.clear()  # its own thread must not take the response
    wait_until(lambda: made._is_paused)
    with warnings.catch_warnings():  # the sender's library rightly warns of some UIDs
        warnings.simplefilter("ignore")
        request = C_STORE()
        request.MessageID = 1
        request.AffectedSOPClassUID = sop_class
        request.AffectedSOPInstanceUID = sop_instance
        request.Priority = 2
        request.DataSet = BytesIO(data)
        made.dimse.send_msg(request, made.accepted_contexts[0].context_id)
    _, response = made.dimse.get_msg(block=True)
    made._reactor_checkpoint.set()
    assert response is not None, "no answer"
    answer = Dataset()
    answer.Status = response.Status
    answer.ErrorComment = response.ErrorComment
    return answer


def send_dataset(made: Any, dataset: Dataset) -> int:
    answer = send(
        made,
        encoded(dataset),
        sop_class=dataset.SOPClassUID,
        sop_instance=dataset.SOPInstanceUID,
    )
    return int(answer.Status)


def data_set_of(path: Path) -> bytes:
    """The bytes after the file meta group."""
    content = path.read_bytes()
    (length,) = struct.unpack_from("<I", content, 140)
    return content[144 + length :]


def test_echo_is_answered(tmp_path: Path) -> None:
    with receiver(tmp_path) as running:
        echoscu(running.port)


def test_a_series_arrives_bit_by_bit_and_is_announced(tmp_path: Path, events: Events) -> None:
    paths = mr_series(tmp_path / "mr", slices=3, rows=300, columns=300)
    with receiver(tmp_path) as running:
        storescu(running.port, paths)

    assert len(running.sink.instances) == 3
    by_uid = {instance.sop_instance_uid: instance for instance in running.sink.instances}
    for path in paths:
        instance = by_uid[dcmread(path, stop_before_pixels=True).SOPInstanceUID]
        sent = data_set_of(path)
        assert data_set_of(running.spool.path(instance.spool_name)) == sent
        assert instance.sha256 == hashlib.sha256(sent).hexdigest()
        assert instance == running.spool.read(instance.spool_name)
    assert len(events(Event.INSTANCE_RECEIVED)) == 3
    assert list(running.spool._root.glob("tmp/*/*")) == []


def test_orthanc_can_send_compressed_images_as_they_are(tmp_path: Path) -> None:
    (dataset,) = mr_slices(slices=1, rows=64, columns=64)
    dataset.compress(RLELossless)
    path = write(dataset, tmp_path / "one.dcm")
    with receiver(tmp_path) as running:
        with orthanc(tmp_path, modalities={"APPLIANCE": running.port}) as pacs:
            pacs.post("/instances", path.read_bytes())
            pacs.post("/modalities/APPLIANCE/store", {"Resources": pacs.instances()})
        instance = running.only()

    assert instance.transfer_syntax_uid == RLELossless
    assert instance.calling_ae_title == "ORTHANC"
    kept, sent = dcmread(running.spool.path(instance.spool_name)), dcmread(path)
    assert kept.PixelData == sent.PixelData


def test_the_same_instance_twice_is_answered_with_success_and_kept_once(
    tmp_path: Path, events: Events
) -> None:
    (dataset,) = mr_slices(slices=1)
    with receiver(tmp_path) as running, association(running.port) as made:
        assert send_dataset(made, dataset) == 0x0000
        assert send_dataset(made, dataset) == 0x0000

    assert len(running.spool.new_entries()) == 1
    assert len(running.sink.instances) == 1
    assert len(events(Event.INSTANCE_DUPLICATE)) == 1


@pytest.mark.parametrize(
    "case",
    [
        ("STORESCU", "SOMEBODY", {}, (1, 1, 7)),
        ("STRANGER", "APPLIANCE", {}, (1, 1, 3)),
        ("FARAWAY", "APPLIANCE", {}, (1, 1, 1)),
        ("STORESCU", "APPLIANCE", {"max_associations": 0}, (2, 3, 2)),
        ("STORESCU", "APPLIANCE", {"max_associations_per_peer": 0}, (2, 3, 2)),
    ],
)
def test_who_may_not_associate_is_told_why(
    tmp_path: Path,
    events: Events,
    case: tuple[str, str, Mapping[str, int], tuple[int, int, int]],
) -> None:
    calling, called, limits, expected = case
    with receiver(tmp_path, **limits) as running:
        with association(running.port, calling=calling, called=called) as made:
            assert made.is_rejected
            answer = made.acceptor.primitive
            assert (answer.result, answer.result_source, answer.diagnostic) == expected
        if not limits:
            echoscu(running.port)  # and nobody else is disturbed
    (event,) = events(Event.ASSOCIATION_REJECTED)
    assert event["calling_ae_title"] == calling


def test_unknown_peers_may_send_where_the_site_allows_it(tmp_path: Path) -> None:
    with receiver(tmp_path, accept_unknown_peers=True) as running:
        echoscu(running.port, calling="STRANGER")


def test_a_peer_that_left_makes_room_for_the_next(tmp_path: Path) -> None:
    with receiver(tmp_path, max_associations=1) as running:
        with association(running.port) as made:
            assert made.is_established
            with association(running.port) as second:
                assert second.is_rejected
        wait_until(lambda: not running.receiver._server.associations())  # type: ignore[union-attr]
        echoscu(running.port)


def test_every_storage_class_is_taken_and_private_ones_where_the_peer_may(tmp_path: Path) -> None:
    contexts = [(PRIVATE_CLASS, [ExplicitVR]), ("1.2.840.10008.5.1.4.1.1.9999", [ExplicitVR])]
    with receiver(tmp_path) as running:
        with association(running.port, *contexts) as made:
            assert len(made.accepted_contexts) == 2
            (dataset,) = mr_slices(slices=1, SOPClassUID=PRIVATE_CLASS)
            assert send_dataset(made, dataset) == 0x0000
        with association(running.port, *contexts, calling="STANDARD") as made:
            assert [str(c.abstract_syntax) for c in made.rejected_contexts] == [PRIVATE_CLASS]
        pdf = encapsulated_pdf()
        with association(running.port, (pdf.SOPClassUID, [ExplicitVR])) as made:
            assert send_dataset(made, pdf) == 0x0000


def test_deflated_data_sets_are_not_offered(tmp_path: Path) -> None:
    with receiver(tmp_path) as running:
        both = (MRImageStorage, [DeflatedExplicitVRLittleEndian, ExplicitVR])
        with association(running.port, both) as made:
            assert made.accepted_contexts[0].transfer_syntax == [ExplicitVR]
        only = (MRImageStorage, [DeflatedExplicitVRLittleEndian])
        with association(running.port, only) as made:
            assert made.accepted_contexts == []


def without(keyword: str) -> bytes:
    (dataset,) = mr_slices(slices=1, SOPInstanceUID="1.2.3")
    delattr(dataset, keyword)
    return encoded(dataset)


def whole() -> bytes:
    return encoded(mr_slices(slices=1, SOPInstanceUID="1.2.3")[0])


@pytest.mark.parametrize(
    "case",
    [
        (b"Dear colleague, " * 50, MRImageStorage, "1.2.3", 0xC100, "not-dicom"),
        (whole()[:-100], MRImageStorage, "1.2.3", 0xC101, "truncated"),
        (without("SOPInstanceUID"), MRImageStorage, "1.2.3", 0xC103, "no-instance-uid"),
        (whole(), MRImageStorage, None, 0xC103, "no-instance-uid"),
        (without("StudyInstanceUID"), MRImageStorage, "1.2.3", 0xC104, "no-study-or-series-uid"),
        (whole(), "1.2.840.10008.5.1.4.1.1.2", "1.2.3", 0xA900, "class-mismatch"),
        (without("SOPClassUID"), MRImageStorage, "1.2.3", 0xA900, "class-mismatch"),
        (whole(), MRImageStorage, "1.2.4", 0xA901, "instance-mismatch"),
        (whole(), MRImageStorage, "../../../etc/passwd", 0xC105, "unusable-uid"),
        (
            whole().replace(b"1.2.3\0", b"../../"),
            MRImageStorage,
            "1.2.3",
            0xA901,
            "instance-mismatch",
        ),
    ],
)
def test_what_is_wrong_gets_a_clear_status_and_the_next_instance_is_stored(
    tmp_path: Path,
    events: Events,
    case: tuple[bytes, str, str | None, int, str],
) -> None:
    data, sop_class, sop_instance, status, reason = case
    with receiver(tmp_path) as running, association(running.port) as made:
        answer = send(made, data, sop_class=sop_class, sop_instance=sop_instance)
        assert (answer.Status, bool(answer.ErrorComment)) == (status, True)
        assert send_dataset(made, mr_slices(slices=1)[0]) == 0x0000

    (event,) = events(Event.INSTANCE_REFUSED)
    assert event["reason"] == reason
    assert event["status"] == f"{status:04X}"
    assert len(running.spool.new_entries()) == 1
    assert list(running.spool._root.glob("tmp/*/*")) == []


def test_a_study_uid_that_is_a_path_is_refused(tmp_path: Path) -> None:
    data = encoded(mr_slices(slices=1, SOPInstanceUID="1.2.3", study_instance_uid="1.2.3.4.5.6")[0])
    evil = data.replace(b"1.2.3.4.5.6\0", b"../../../x\0\0")
    with receiver(tmp_path) as running, association(running.port) as made:
        answer = send(made, evil, sop_class=MRImageStorage, sop_instance="1.2.3")
    assert answer.Status == 0xC105
    assert running.spool.new_entries() == ()


def test_below_the_disk_watermark_images_are_refused_and_later_taken_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    events: Events,
) -> None:
    (dataset,) = mr_slices(slices=1)
    with (
        receiver(tmp_path, refuse_below_bytes=100, warn_below_bytes=200) as running,
        association(running.port) as made,
    ):
        monkeypatch.setattr(running.spool, "free_bytes", lambda: 99)
        assert send_dataset(made, dataset) == 0xA700
        assert send_dataset(made, dataset) == 0xA700
        monkeypatch.setattr(running.spool, "free_bytes", lambda: 100)
        assert send_dataset(made, dataset) == 0x0000
    assert len(events(Event.DISK_LOW)) == 1


def test_a_disk_that_fails_in_the_middle_is_answered_and_survived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    (dataset,) = mr_slices(slices=1)
    with receiver(tmp_path) as running, association(running.port) as made:
        with monkeypatch.context() as patch:
            patch.setattr("scp.incoming.IncomingInstance.write", fails)
            assert send_dataset(made, dataset) == 0xA700
        with monkeypatch.context() as patch:
            patch.setattr(running.spool, "make_durable", fails)
            assert send_dataset(made, dataset) == 0xA700
        assert send_dataset(made, dataset) == 0x0000


def test_a_sink_that_fails_is_a_processing_failure_and_the_association_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = mr_slices(slices=2)
    with receiver(tmp_path) as running, association(running.port) as made:
        with monkeypatch.context() as patch:
            patch.setattr(running.sink, "received", lambda _: 1 / 0)
            assert send_dataset(made, first) == 0x0110
        assert send_dataset(made, first) == 0x0000  # it was durable already
        assert send_dataset(made, second) == 0x0000


def test_a_message_above_the_bound_ends_its_association_alone(
    tmp_path: Path, events: Events
) -> None:
    (dataset,) = mr_slices(slices=1, rows=200, columns=200)
    with receiver(tmp_path, max_message_bytes=20_000) as running:
        with association(running.port) as made:
            made.dimse.send_msg(_request(dataset), made.accepted_contexts[0].context_id)
            wait_until(lambda: made.is_aborted)
        wait_until(lambda: events(Event.INSTANCE_REFUSED))
        with association(running.port) as made:
            assert send_dataset(made, mr_slices(slices=1)[0]) == 0x0000
        assert len(running.spool.new_entries()) == 1
    assert list(running.spool._root.glob("tmp/*/*")) == []


def _request(dataset: Dataset) -> C_STORE:
    request = C_STORE()
    request.MessageID = 1
    request.AffectedSOPClassUID = dataset.SOPClassUID
    request.AffectedSOPInstanceUID = dataset.SOPInstanceUID
    request.Priority = 2
    request.DataSet = BytesIO(encoded(dataset))
    return request


def test_a_peer_that_breaks_off_leaves_nothing_behind(tmp_path: Path, events: Events) -> None:
    (dataset,) = mr_slices(slices=1, rows=512, columns=512)
    with receiver(tmp_path, max_pdu_length=8192) as running:
        with association(running.port) as made:
            sender = made.dul.socket.socket
            request = _request(dataset)
            data = request.DataSet
            assert data is not None
            data.truncate(300_000)
            request.DataSet = None
            made.dimse.send_msg(_announcement(dataset), made.accepted_contexts[0].context_id)
            fragment = bytes([made.accepted_contexts[0].context_id, 0]) + bytes(4000)
            pdv = struct.pack(">I", len(fragment)) + fragment
            wait_until(lambda: list(running.spool._root.glob("tmp/*/*")))
            sender.sendall(struct.pack(">BBI", 4, 0, len(pdv)) + pdv)
            sender.shutdown(socket.SHUT_RDWR)
            wait_until(lambda: events(Event.INSTANCE_REFUSED))
        assert running.spool.new_entries() == ()
        wait_until(lambda: not list(running.spool._root.glob("tmp/*/*")))
        echoscu(running.port)


def _announcement(dataset: Dataset) -> C_STORE:
    """A C-STORE command whose data set is announced; one byte of it comes along."""
    request = _request(dataset)

    class Unfinished(BytesIO):
        def getvalue(self) -> bytes:
            return b""

    request.DataSet = Unfinished(b"\0")
    return request


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: appliance\r\n\r\n",
        struct.pack(">BBI", 4, 0, 0xFFFFFFFF) + bytes(1000),
        struct.pack(">BBI", 1, 0, 0xFFFFFFFF),
        struct.pack(">BBI", 1, 0, 68) + bytes(68),
        struct.pack(">BBI", 7, 0, 4) + bytes(4),
        struct.pack(">BBI", 5, 0, 4) + bytes(4),
        struct.pack(">BBI", 4, 0, 10) + bytes(10),
        b"",
    ],
)
def test_garbage_on_the_port_disturbs_nobody(tmp_path: Path, garbage: bytes) -> None:
    with receiver(tmp_path) as running:
        with socket.create_connection((HOST, running.port)) as connection:
            connection.sendall(garbage)
            echoscu(running.port)
        wait_until(lambda: not running.receiver._server.associations())  # type: ignore[union-attr]


def test_a_half_open_connection_blocks_nobody_and_is_closed_at_its_time(tmp_path: Path) -> None:
    with (
        receiver(tmp_path, network_timeout=timedelta(seconds=1)) as running,
        socket.create_connection((HOST, running.port)) as connection,
    ):
        connection.settimeout(20)
        echoscu(running.port)
        assert connection.recv(1) == b""


def test_no_log_line_names_the_patient(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("pynetdicom").setLevel(logging.NOTSET)
    slices = ct_slices(slices=1, PatientName="Secret^Name", PatientID="SECRET")
    path = write(slices[0], tmp_path / "one.dcm")
    with receiver(tmp_path) as running:
        storescu(running.port, [path])
        with association(running.port) as made:
            send(
                made,
                encoded(slices[0])[:-9],
                sop_class=slices[0].SOPClassUID,
                sop_instance=slices[0].SOPInstanceUID,
            )
    lines = [json.dumps(r.__dict__, default=str) for r in caplog.records if "scp" not in r.pathname]
    received = [line for line in lines if "instance." in line]
    assert received
    assert "secret" not in " ".join(received).casefold()
    printed = capfd.readouterr()
    assert "secret" not in (printed.out + printed.err).casefold()


def test_small_answers_are_not_held_back_on_the_socket(tmp_path: Path) -> None:
    with receiver(tmp_path) as running, association(running.port) as made:
        assert made.is_established
        (accepted,) = running.receiver._server.associations()  # type: ignore[union-attr]
        option = accepted.dul.socket.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert option == 1


def test_a_stopped_receiver_has_answered_what_it_stored_and_accepts_nothing(
    tmp_path: Path,
) -> None:
    with receiver(tmp_path) as running, association(running.port) as made:
        assert send_dataset(made, mr_slices(slices=1)[0]) == 0x0000
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((HOST, running.port)).close()
    assert len(running.spool.new_entries()) == 1
