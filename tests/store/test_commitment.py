"""What is said to a peer that asks for storage commitment, and what follows for retention."""

import threading
from collections.abc import Iterator
from concurrent.futures import wait
from datetime import timedelta
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ImplicitVRLittleEndian, MRImageStorage

from appliance.core.errors import PeerError
from appliance.core.log import Event
from appliance.core.model import CommitmentFailure, CommitmentReport
from appliance.intake.commitment import Committer
from appliance.intake.committing import Committing
from appliance.intake.options import CommitmentOptions, RetentionOptions
from appliance.intake.retention import Retention
from results_store.store import Store
from scp.announced import PERFORMED_STEP
from scp.command import N_ACTION_RQ, N_CREATE_RQ
from scp.commitment import INSTANCE, STORAGE_COMMITMENT
from scp.notices import Notice, Notices
from tests.announcements import encoded
from tests.builders import mr_slices
from tests.commitments import request
from tests.counterparts import wait_until
from tests.older import made_older
from tests.store.intake_world import IntakeWorld
from tests.store.world import SteppedClock

OPTIONS = CommitmentOptions(keep=timedelta(days=30))
SECOND = timedelta(seconds=1)


class Modality:
    """Asks, and takes the answers unless it is switched off."""

    def __init__(self, world: IntakeWorld) -> None:
        self.notices = Notices(world.spool_root)
        self.answers: list[CommitmentReport] = []
        self.is_off = False
        self.refuses = ""
        self.inside: list[str] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self._world = world
        self.start()

    def start(self) -> None:
        world = self._world
        self.committer = Committer(
            OPTIONS,
            self.notices,
            Committing(OPTIONS, world.store, world.spool, world.clock),
            {"MR01": self._take, "US02": self._never},
            world.clock,
        )

    def _never(self, answer: CommitmentReport) -> None:
        raise PeerError("US02 does not answer")

    def _take(self, answer: CommitmentReport) -> None:
        self.inside.append(answer.transaction_uid)
        self.may_go_on.wait(20)
        if self.is_off or answer.transaction_uid == self.refuses:
            raise PeerError("MR01 does not answer")
        self.answers.append(answer)

    def ask(self, dataset: Dataset, calling: str = "MR01") -> None:
        notice = Notice(
            operation=N_ACTION_RQ,
            sop_class_uid=STORAGE_COMMITMENT,
            sop_instance_uid=INSTANCE,
            action_type_id=1,
            transfer_syntax_uid=ImplicitVRLittleEndian,
            calling_ae_title=calling,
            called_ae_title="APPLIANCE",
            peer_address="127.0.0.1",
            received_at=self._world.clock.now(),
        )
        self.notices.put(notice, encoded(dataset))

    def pass_time(self, by: timedelta = timedelta(0)) -> None:
        """Let the time pass and everything be done that is due then."""
        self._world.clock.advance(by)
        for _ in range(2):
            self.committer.step()
            wait([one.running for one in self.committer._peers.values() if one.running], 20)


@pytest.fixture
def world(tmp_path: Path, store: Store, clock: SteppedClock) -> IntakeWorld:
    return IntakeWorld(tmp_path / "spool", store, clock)


@pytest.fixture
def modality(world: IntakeWorld) -> Iterator[Modality]:
    made = Modality(world)
    yield made
    made.committer.close()


def uids(slices: list[Dataset]) -> list[str]:
    return [str(one.SOPInstanceUID) for one in slices]


def test_what_is_here_and_whole_is_committed_at_once(
    world: IntakeWorld, modality: Modality
) -> None:
    slices = mr_slices(slices=3)
    world.receive(slices)
    world.step()
    modality.ask(request(*uids(slices), transaction="1.77"))
    modality.pass_time()
    (answer,) = modality.answers
    assert answer.transaction_uid == "1.77"
    assert [one.sop_instance_uid for one in answer.committed] == uids(slices)
    assert answer.failed == ()
    assert modality.notices.names() == ()


def test_what_an_earlier_version_received_is_committed_if_its_bytes_are_the_same(
    world: IntakeWorld, modality: Modality
) -> None:
    slices = mr_slices(slices=2)
    older = [made_older(world.spool, name) for name in world.receive(slices)]
    world.step()
    path = world.spool.path(older[1].spool_name)
    path.write_bytes(path.read_bytes()[:-1] + b"\x55")
    modality.ask(request(*uids(slices)))
    modality.pass_time()
    (answer,) = modality.answers
    assert [one.sop_instance_uid for one in answer.committed] == uids(slices)[:1]
    ((reference, reason),) = answer.failed
    assert reference.sop_instance_uid == uids(slices)[1]
    assert reason is CommitmentFailure.PROCESSING_FAILURE


def test_what_is_received_but_not_indexed_is_waited_for(
    world: IntakeWorld, modality: Modality
) -> None:
    slices = mr_slices(slices=2)
    world.receive(slices)
    modality.ask(request(*uids(slices)))
    modality.pass_time(timedelta(minutes=5))
    assert modality.answers == []
    world.step()
    modality.pass_time(SECOND)
    assert len(modality.answers[0].committed) == 2


def test_what_never_comes_fails_by_name_after_a_minute_and_the_others_are_committed(
    world: IntakeWorld, modality: Modality
) -> None:
    slices = mr_slices(slices=1)
    world.receive(slices)
    world.step()
    modality.ask(request(*uids(slices), "1.2.3.404"))
    modality.pass_time(timedelta(seconds=58))
    assert modality.answers == []
    modality.pass_time(timedelta(seconds=3))
    (answer,) = modality.answers
    assert [one.sop_instance_uid for one in answer.committed] == uids(slices)
    ((reference, reason),) = answer.failed
    assert reference.sop_instance_uid == "1.2.3.404"
    assert reason is CommitmentFailure.NO_SUCH_INSTANCE


def test_another_class_and_bytes_that_changed_are_not_committed(
    world: IntakeWorld, modality: Modality
) -> None:
    slices = mr_slices(slices=2)
    first, second = world.receive(slices)
    world.step()
    path = world.spool.path(second)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)

    modality.ask(request(uids(slices)[0], sop_class=CTImageStorage))
    modality.pass_time()
    modality.ask(request(uids(slices)[1]))
    modality.pass_time()
    world.spool.path(first).unlink()
    modality.ask(request(uids(slices)[0], sop_class=MRImageStorage))
    modality.pass_time()
    assert [answer.failed[0][1] for answer in modality.answers] == [
        CommitmentFailure.CLASS_CONFLICT,
        CommitmentFailure.PROCESSING_FAILURE,
        CommitmentFailure.PROCESSING_FAILURE,
    ]


def test_a_modality_that_is_off_gets_its_answer_later_also_after_a_restart(
    world: IntakeWorld, modality: Modality, caplog: pytest.LogCaptureFixture
) -> None:
    slices = mr_slices(slices=1)
    world.receive(slices)
    world.step()
    modality.is_off = True
    modality.ask(request(*uids(slices)))
    modality.pass_time()
    modality.pass_time(timedelta(seconds=4))
    assert [r.getMessage() for r in caplog.records].count(Event.COMMITMENT_RETRYING) == 1
    modality.committer.close()
    modality.is_off = False
    modality.start()
    modality.pass_time()
    assert len(modality.answers) == 1


def test_a_modality_that_never_listens_again_is_given_up_loudly(
    world: IntakeWorld, modality: Modality, caplog: pytest.LogCaptureFixture
) -> None:
    modality.is_off = True
    modality.ask(request("1.2.3"))
    for _ in range(47):
        modality.pass_time(timedelta(hours=1))
    assert len(modality.notices.names()) == 1
    modality.pass_time(timedelta(hours=1))
    assert modality.notices.names() == ()
    assert [r.getMessage() for r in caplog.records].count(Event.COMMITMENT_FAILED) == 1


def test_a_dead_peer_and_a_request_that_it_never_takes_hold_up_nobody(
    world: IntakeWorld, modality: Modality
) -> None:
    slices = mr_slices(slices=1)
    world.receive(slices)
    world.step()
    for _ in range(5):
        modality.ask(request(*uids(slices)), calling="US02")
    modality.refuses = "1.66"
    modality.ask(request(*uids(slices), transaction="1.66"))
    modality.ask(request(*uids(slices), transaction="1.67"))
    modality.pass_time()
    modality.pass_time(timedelta(seconds=6))
    assert [answer.transaction_uid for answer in modality.answers] == ["1.67"]


def test_a_peer_that_may_no_longer_ask_does_not_hold_the_others(
    world: IntakeWorld, modality: Modality
) -> None:
    slices = mr_slices(slices=1)
    world.receive(slices)
    world.step()
    modality.ask(request(*uids(slices)), calling="GONE")
    modality.ask(request(*uids(slices)))
    modality.pass_time()
    assert len(modality.answers) == 1
    assert modality.notices.names() == ()


def test_a_peer_gets_one_answer_at_a_time(world: IntakeWorld, modality: Modality) -> None:
    slices = mr_slices(slices=1)
    world.receive(slices)
    world.step()
    for _ in range(3):
        modality.ask(request(*uids(slices)))
    modality.may_go_on.clear()
    for _ in range(3):
        modality.committer.step()
    wait_until(lambda: modality.inside)
    modality.committer.step()
    assert len(modality.inside) == 1
    modality.may_go_on.set()
    for _ in range(3):
        modality.pass_time()
    assert len(modality.answers) == 3
    assert len(modality.inside) == 3


def test_what_retention_is_deleting_just_now_is_not_committed(
    world: IntakeWorld, modality: Modality, monkeypatch: pytest.MonkeyPatch
) -> None:
    slices = mr_slices(slices=1)
    world.receive(slices)
    world.step()
    monkeypatch.setattr(world.store.keeping, "keep", lambda files, until: frozenset())
    modality.ask(request(*uids(slices)))
    modality.pass_time()
    assert modality.answers[0].committed == ()


def test_other_notices_are_left_alone(world: IntakeWorld, modality: Modality) -> None:
    modality.notices.put(
        Notice(
            operation=N_CREATE_RQ,
            sop_class_uid=PERFORMED_STEP,
            sop_instance_uid="1.2.3",
            action_type_id=None,
            transfer_syntax_uid=ImplicitVRLittleEndian,
            calling_ae_title="MR01",
            called_ae_title="APPLIANCE",
            peer_address="127.0.0.1",
            received_at=world.clock.now(),
        ),
        b"",
    )
    modality.pass_time()
    assert len(modality.notices.names()) == 1


def test_committed_images_outlive_their_age_and_a_full_disk_and_go_when_their_time_is_over(
    world: IntakeWorld, modality: Modality
) -> None:
    world.use()  # no route wants them
    committed, other = mr_slices(slices=2)
    (kept, _) = world.receive([committed, other])
    world.step()
    modality.ask(request(committed.SOPInstanceUID))
    modality.pass_time()
    always_full = RetentionOptions(images=timedelta(days=14), free_at_least=2**62)
    retention = Retention(always_full, world.store, world.spool, world.clock)

    world.clock.advance(timedelta(days=29))
    assert retention.step() == 1
    assert world.spool.all_names() == {kept}
    world.clock.advance(timedelta(days=1, seconds=1))
    assert retention.step() == 1
    assert world.spool.all_names() == frozenset()


def test_what_retention_deleted_is_not_committed(world: IntakeWorld, modality: Modality) -> None:
    world.use()
    slices = mr_slices(slices=1)
    world.receive(slices)
    world.step()
    (held,) = world.store.keeping.held(uids(slices))
    world.clock.advance(timedelta(days=15))
    options = RetentionOptions(images=timedelta(days=14), free_at_least=0)
    assert Retention(options, world.store, world.spool, world.clock).step() == 1
    assert world.store.keeping.keep([held], world.clock.now()) == frozenset()
    modality.ask(request(*uids(slices)))
    modality.pass_time(timedelta(minutes=2))
    assert modality.answers[0].failed[0][1] is CommitmentFailure.NO_SUCH_INSTANCE
