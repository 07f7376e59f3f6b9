"""A receiver in this process and raw associations to it, for the tests of the receiver."""

import struct
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom import dcmwrite
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from pynetdicom import AE, evt
from pynetdicom.dimse_primitives import C_STORE

from appliance.core.clock import SystemClock
from appliance.core.log import Event
from appliance.core.model import ReceivedInstance
from scp.options import AllowedPeer, ReceiverOptions
from scp.server import Receiver
from scp.services import Service
from scp.spool import Spool
from tests.counterparts import HOST, wait_until
from tests.faults.wire import ASSOCIATE_RJ, IMPLICIT, VERIFICATION, Peer, associate_rq

LOCAL = ("127.0.0.0/8",)
PEERS = (
    AllowedPeer(ae_title="STORESCU", networks=LOCAL),
    AllowedPeer(ae_title="ECHOSCU", networks=LOCAL),
    AllowedPeer(ae_title="ORTHANC", networks=LOCAL),
    AllowedPeer(ae_title="FARAWAY", networks=("10.0.0.0/8",)),
    AllowedPeer(ae_title="BOUND", networks=LOCAL, certificate="Scanner"),
    AllowedPeer(ae_title="STANDARD", networks=LOCAL, accept_private_storage=False),
)
PRIVATE_CLASS = "1.2.3.4.5.6.7"


Events = Callable[[Event], list[Mapping[str, Any]]]


class Told:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.instances: list[ReceivedInstance] = []

    def received(self, *instances: ReceivedInstance) -> None:
        self.instances += instances


class Running:
    """A receiver and what it left behind."""

    def __init__(
        self, root: Path, options: ReceiverOptions, services: Sequence[Service] = ()
    ) -> None:
        self.spool = Spool(root)
        self.tallies = root / "tallies"
        self.sink = Told()
        self.receiver = Receiver(
            options, self.spool, self.sink, SystemClock(), tallies=self.tallies, services=services
        )
        self.port = self.receiver.port

    def only(self) -> ReceivedInstance:
        wait_until(self.spool.new_entries)
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
    opened: list[Any] = []

    def remember(event: Any) -> None:
        opened.append(event.assoc.dul.socket.socket)

    handlers = [(evt.EVT_CONN_OPEN, remember)]
    made = entity.associate(HOST, port, ae_title=called, evt_handlers=handlers)
    # Stock pynetdicom may return a moment before it says which of these it is.
    wait_until(lambda: made.is_established or made.is_rejected or made.is_aborted)
    try:
        yield made
    finally:
        if made.is_established:
            made.release()
        for connection in opened:
            connection.close()  # pynetdicom leaves it open where the peer closed first


def rejection(
    port: int, *, calling: str = "STORESCU", called: str = "APPLIANCE"
) -> tuple[int, ...]:
    """Result, source and reason of the A-ASSOCIATE-RJ that the caller gets; empty for none.

    Stock pynetdicom calls a rejection an abort where the answer is quicker than its own threads.
    """
    with Peer(port) as peer:
        peer.send(associate_rq([(1, VERIFICATION, [IMPLICIT])], calling=calling, called=called))
        kind, body = peer.receive()
        return tuple(body[1:4]) if kind == ASSOCIATE_RJ else ()


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


def request_of(dataset: Dataset) -> C_STORE:
    request = C_STORE()
    request.MessageID = 1
    request.AffectedSOPClassUID = dataset.SOPClassUID
    request.AffectedSOPInstanceUID = dataset.SOPInstanceUID
    request.Priority = 2
    request.DataSet = BytesIO(encoded(dataset))
    return request
