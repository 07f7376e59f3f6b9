"""Storage commitment from the asking to the answer: a modality by pynetdicom, and Orthanc."""

from collections.abc import Iterator
from concurrent.futures import wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

from appliance.core.clock import SystemClock
from appliance.core.log import Event
from appliance.core.model import CommitmentReport
from appliance.intake.commitment import Committer
from appliance.intake.committing import Committing
from appliance.intake.indexer import Indexer
from appliance.intake.options import CommitmentOptions
from appliance.peers import DicomClient, DicomNode
from results_store.migrate import migrate
from results_store.options import StoreOptions
from results_store.store import open_store
from scp.announcing import Desk
from scp.commitment import StorageCommitment
from scp.elements import NStatus
from scp.notices import Notices
from scp.tally import REFUSED_MESSAGES, read_tallies
from tests.builders import mr_series
from tests.commitments import request
from tests.counterparts import HOST, orthanc, storescu, wait_until
from tests.receiving import Events, Running, options
from tests.store.intake_world import IntakeWorld

OPTIONS = CommitmentOptions(keep=timedelta(days=30), wait=timedelta(0))


@dataclass
class Site:
    """A receiver and what orchestrate does with its spool."""

    running: Running
    indexer: Indexer
    committer: Committer
    ports: dict[str, int]

    def step(self) -> bool:
        """Do what is due; return whether every request has its answer."""
        self.indexer.step(SystemClock().now())
        self.committer.step()
        wait([one.running for one in self.committer._peers.values() if one.running], 20)
        return not self.committer._notices.names()


@contextmanager
def site(root: Path, *asking: str) -> Iterator[Site]:
    clock: Any = SystemClock()
    ports = dict.fromkeys(asking, 0)
    notices = Notices(root / "spool")
    desk = Desk(notices, clock, lambda: None)
    running = Running(root / "spool", options(), services=[StorageCommitment(desk, asking)])
    url = StoreOptions(url=f"sqlite:///{root}/store.db")
    migrate(url)
    store = open_store(url, clock)
    committer = Committer(
        OPTIONS,
        notices,
        Committing(OPTIONS, store, running.spool, clock),
        {title: reporter(title, ports) for title in asking},
        clock,
    )
    running.receiver.start()
    try:
        indexer = IntakeWorld(root / "spool", store, clock).indexer
        yield Site(running, indexer, committer, ports)
    finally:
        running.receiver.stop()
        committer.close()
        store.close()


def reporter(title: str, ports: dict[str, int]) -> Any:
    def report(answer: CommitmentReport) -> None:
        node = DicomNode(
            name=f"peer {title}",
            ae_title=title,
            host=HOST,
            port=ports[title],
            calling_ae_title="APPLIANCE",
            timeout=timedelta(seconds=10),
        )
        DicomClient(node).report_commitment(answer)

    return report


@contextmanager
def listening(ports: dict[str, int], title: str) -> Iterator[list[Any]]:
    """The ear of a modality: what it is told."""
    told: list[Any] = []

    def takes(event: Any) -> tuple[int, None]:
        told.append((event.event_type, event.event_information))
        return 0x0000, None

    entity = AE(title)
    entity.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
    handlers = [(evt.EVT_N_EVENT_REPORT, takes)]
    server = entity.start_server((HOST, 0), block=False, evt_handlers=handlers)
    ports[title] = int(server.socket.getsockname()[1])
    try:
        yield told
    finally:
        entity.shutdown()


def ask(port: int, title: str, *uids: str) -> int:
    """Ask and leave; the status."""
    entity = AE(title)
    entity.add_requested_context(StorageCommitmentPushModel, ImplicitVRLittleEndian)
    made = entity.associate(HOST, port, ae_title="APPLIANCE")
    assert made.is_established
    status, _ = made.send_n_action(
        request(*uids), 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
    )
    made.release()
    return int(status.Status)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_modality_asks_and_leaves_and_is_told_in_an_association_of_ours(tmp_path: Path) -> None:
    paths = mr_series(tmp_path / "mr", slices=2)
    uids = [dcmread(path).SOPInstanceUID for path in paths]
    with site(tmp_path, "STORESCU") as made, listening(made.ports, "STORESCU") as told:
        storescu(made.running.port, paths)
        assert ask(made.running.port, "STORESCU", *uids, "1.2.3.404") == NStatus.SUCCESS
        wait_until(made.step)
    ((kind, information),) = told
    assert kind == 2
    assert [i.ReferencedSOPInstanceUID for i in information.ReferencedSOPSequence] == uids
    (failed,) = information.FailedSOPSequence
    assert (failed.ReferencedSOPInstanceUID, failed.FailureReason) == ("1.2.3.404", 0x0112)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_who_may_not_ask_is_told_so_and_nothing_is_kept(tmp_path: Path, events: Events) -> None:
    with site(tmp_path, "ORTHANC") as made:
        for _ in range(3):
            assert ask(made.running.port, "STORESCU", "1.2.3") == NStatus.NOT_AUTHORISED
        assert made.step()
    assert [event.get("count") for event in events(Event.NOTICE_REFUSED)] == [None, 2]
    (peer,) = read_tallies(made.running.tallies)
    assert peer.counts[REFUSED_MESSAGES] == 3


def test_orthanc_asks_and_believes_the_answer(tmp_path: Path) -> None:
    paths = mr_series(tmp_path / "mr", slices=2)
    with site(tmp_path, "ORTHANC") as made:
        modalities = {"APPLIANCE": made.running.port}
        with orthanc(tmp_path, modalities=modalities) as pacs:
            made.ports["ORTHANC"] = pacs.port
            for path in paths:
                pacs.post("/instances", path.read_bytes())
            pacs.post("/modalities/APPLIANCE/store", {"Resources": pacs.instances()})
            url = "/modalities/APPLIANCE/storage-commitment"
            asked = pacs.post(url, {"Resources": pacs.instances()})
            wait_until(made.step)
            answer = pacs.get(f"/storage-commitment/{asked['ID']}")
    assert answer["Status"] == "Success"
    assert len(answer["Success"]) == 2
