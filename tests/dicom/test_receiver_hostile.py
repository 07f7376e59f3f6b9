"""What a peer, a disk or a colleague may do wrong: it is answered, and nothing else stops."""

import json
import logging
import socket
import struct
from contextlib import ExitStack, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage
from pynetdicom.dsutils import encode

from appliance.core.log import Event
from scp.head import MalformedDataSet, verify_structure
from scp.spool import Spool
from scp.status import Outcome
from scp.tally import read_tallies
from tests.builders import ct_slices, mr_slices, write
from tests.counterparts import HOST, echoscu, storescu, wait_until
from tests.receiving import Events, association, encoded, receiver, request_of, send, send_dataset


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
        (whole()[:190], MRImageStorage, "1.2.3", 0xC101, "truncated"),
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
    assert list(running.spool.root.glob("tmp/*/*")) == []


def test_a_truncated_data_set_is_kept_as_it_came_and_told_by_whoever_reads_it(
    tmp_path: Path,
) -> None:
    data = whole()[:-100]
    with receiver(tmp_path) as running, association(running.port) as made:
        assert send(made, data, sop_class=MRImageStorage, sop_instance="1.2.3").Status == 0x0000
        assert send_dataset(made, mr_slices(slices=1)[0]) == 0x0000

    kept, _ = running.spool.new_entries()
    content = running.spool.path(kept).read_bytes()
    assert content.endswith(data)
    with pytest.raises(MalformedDataSet, match="ends inside an element"):
        verify_structure(content, len(content) - len(data), "1.2.840.10008.1.2.1")


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
    # The first at once, the others summed up; counted are all.
    assert [event.get("count") for event in events(Event.INSTANCE_REFUSED)] == [None, 1]
    (peer,) = read_tallies(running.tallies)
    assert peer.counts[Outcome.NO_ROOM] == 2


def test_a_disk_that_fails_in_the_middle_is_answered_and_survived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    (dataset,) = mr_slices(slices=1)
    with receiver(tmp_path) as running, association(running.port) as made:
        with monkeypatch.context() as patch:
            patch.setattr(running.spool, "free_bytes", fails)
            assert send_dataset(made, dataset) == 0xA700
        with monkeypatch.context() as patch:
            patch.setattr("scp.incoming.IncomingInstance.space", fails)
            assert send_dataset(made, dataset) == 0xA700
        with monkeypatch.context() as patch:
            patch.setattr("scp.landing.Landing.put", fails)
            assert send_dataset(made, dataset) == 0xA700
        assert send_dataset(made, dataset) == 0x0000


def test_a_defect_of_ours_is_a_processing_failure_and_the_association_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = mr_slices(slices=2)
    with receiver(tmp_path) as running, association(running.port) as made:
        with monkeypatch.context() as patch:
            patch.setattr("scp.incoming.IncomingInstance.identity", lambda _: 1 / 0)
            assert send_dataset(made, first) == 0x0110
        assert send_dataset(made, first) == 0x0000
        assert send_dataset(made, second) == 0x0000


def test_a_message_above_the_bound_ends_its_association_alone(
    tmp_path: Path, events: Events
) -> None:
    (dataset,) = mr_slices(slices=1, rows=200, columns=200)
    with receiver(tmp_path, max_message_bytes=20_000) as running:
        with association(running.port) as made:
            made.dimse.send_msg(request_of(dataset), made.accepted_contexts[0].context_id)
            wait_until(lambda: made.is_aborted)
        wait_until(lambda: events(Event.INSTANCE_REFUSED))
        with association(running.port) as made:
            assert send_dataset(made, mr_slices(slices=1)[0]) == 0x0000
        wait_until(lambda: len(running.spool.new_entries()) == 1)
    assert list(running.spool.root.glob("tmp/*/*")) == []


def test_a_peer_that_breaks_off_leaves_nothing_behind(tmp_path: Path, events: Events) -> None:
    (dataset,) = mr_slices(slices=1)
    with receiver(tmp_path) as running:
        with association(running.port) as made:
            sender = made.dul.socket.socket
            context = made.accepted_contexts[0].context_id
            sender.sendall(_pdu(context, 3, _announcement(dataset)))
            for _ in range(20):  # more than is held in memory
                sender.sendall(_pdu(context, 0, bytes(60_000)))
            wait_until(lambda: any(_sizes(running.spool)))
            sender.shutdown(socket.SHUT_RDWR)
            wait_until(lambda: events(Event.INSTANCE_REFUSED))
        assert running.spool.new_entries() == ()
        wait_until(lambda: not any(_sizes(running.spool)))
        echoscu(running.port)


def _sizes(spool: Spool) -> list[int]:
    """Return the sizes of what is being received; those made in advance have none."""
    sizes = []
    for path in spool.root.glob("tmp/*/*"):
        with suppress(FileNotFoundError):
            sizes.append(path.stat().st_size)
    return sizes


def _pdu(context_id: int, control: int, fragment: bytes) -> bytes:
    """A P-DATA-TF with one fragment."""
    pdv = struct.pack(">IBB", len(fragment) + 2, context_id, control) + fragment
    return struct.pack(">BBI", 4, 0, len(pdv)) + pdv


def _announcement(dataset: Dataset) -> bytes:
    """A C-STORE command whose data set is announced."""
    command = Dataset()
    command.AffectedSOPClassUID = dataset.SOPClassUID
    command.CommandField = 1
    command.MessageID = 1
    command.Priority = 2
    command.CommandDataSetType = 1
    command.AffectedSOPInstanceUID = dataset.SOPInstanceUID
    return encode(command, is_implicit_vr=True, is_little_endian=True) or b""


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
def test_garbage_on_the_port_disturbs_nobody(
    tmp_path: Path, garbage: bytes, events: Events
) -> None:
    with receiver(tmp_path) as running:
        with socket.create_connection((HOST, running.port)) as connection:
            connection.sendall(garbage)
            echoscu(running.port)
        wait_until(lambda: not running.receiver.connections)
    assert len(events(Event.ASSOCIATION_ABORTED)) == bool(garbage)


def test_a_half_open_connection_blocks_nobody_and_is_closed_at_its_time(tmp_path: Path) -> None:
    with (
        receiver(tmp_path, network_timeout=timedelta(seconds=1)) as running,
        socket.create_connection((HOST, running.port)) as connection,
    ):
        connection.settimeout(20)
        echoscu(running.port)
        assert connection.recv(1) == b""


def test_silent_connections_from_one_address_leave_room_for_another(tmp_path: Path) -> None:
    with (
        receiver(tmp_path, max_associations=2, max_associations_per_peer=1) as running,
        ExitStack() as silent,
    ):
        for _ in range(30):
            stranger = socket.create_connection(
                (HOST, running.port), source_address=("127.0.0.2", 0)
            )
            silent.enter_context(stranger)
        echoscu(running.port)


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
        ((stream, _),) = running.receiver._connections.values()
        assert stream is not None
        assert stream._connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


def test_a_stopped_receiver_has_answered_what_it_stored_and_accepts_nothing(
    tmp_path: Path,
) -> None:
    with receiver(tmp_path) as running, association(running.port) as made:
        assert send_dataset(made, mr_slices(slices=1)[0]) == 0x0000
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((HOST, running.port)).close()
    assert len(running.spool.new_entries()) == 1


def test_a_pdu_of_four_gigabytes_is_not_waited_for(tmp_path: Path) -> None:
    with (
        receiver(tmp_path) as running,
        socket.create_connection((HOST, running.port)) as connection,
    ):
        connection.settimeout(10)  # the receiver's own patience is longer
        connection.sendall(struct.pack(">BBI", 4, 0, 0xFFFFFFFF) + bytes(1000))
        try:
            while connection.recv(1000):
                pass
        except ConnectionResetError:
            pass
