"""Results reach the archives that routes name, are proven there, and are never doubled."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from appliance.core.backoff import Backoff
from appliance.core.crashpoints import VARIABLE, CrashPoint
from appliance.core.errors import PeerError, PeerRefused
from appliance.core.states import DeliveryState
from appliance.delivery.lane import NotFound
from appliance.delivery.options import Verify
from tests.couriers import FolderArchive, Outbox, Said
from tests.jobs_world import arm

ROOT = Path(__file__).parents[2]


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path)
    yield outbox
    outbox.close()


@pytest.fixture
def pacs(tmp_path: Path) -> FolderArchive:
    return FolderArchive(tmp_path / "pacs")


def test_a_result_is_sent_proven_and_then_left_alone(outbox: Outbox, pacs: FolderArchive) -> None:
    job, courier = outbox.send("pacs"), outbox.courier({"pacs": pacs})
    outbox.work(courier, lambda: outbox.state(job) is DeliveryState.DELIVERED)
    for _ in range(3):
        courier.step()
    assert len(pacs.stored) == 1
    assert outbox.of(job).delivered_at is not None


def test_what_arrives_is_the_file_to_the_byte(outbox: Outbox, pacs: FolderArchive) -> None:
    job, courier = outbox.send("pacs"), outbox.courier({"pacs": pacs})
    outbox.work(courier, lambda: outbox.state(job) is DeliveryState.DELIVERED)
    path = outbox.results / outbox.of(job).result.path
    assert (pacs.folder / path.name).read_bytes() == path.read_bytes()


def test_where_a_destination_cannot_prove_its_success_is_taken_as_proof(
    outbox: Outbox, pacs: FolderArchive
) -> None:
    """Else its deliveries would be under way, and their studies' images kept, for ever."""
    job = outbox.send("pacs")
    courier = outbox.courier({"pacs": pacs}, destination={"verify": Verify.NONE})
    outbox.work(courier, lambda: outbox.state(job) is DeliveryState.DELIVERED)
    assert pacs.asked == 0
    assert len(pacs.stored) == 1


def test_one_study_that_the_destination_fails_at_stops_no_other(
    outbox: Outbox, pacs: FolderArchive
) -> None:
    """As where it gives one study to two patients: its own delay grows, not everybody's."""
    (bad, *others) = [outbox.send("pacs") for _ in range(4)]
    pacs.troubled = bad.study_instance_uid
    backoff = Backoff(first=timedelta(milliseconds=20), longest=timedelta(days=1), attempts=99)
    courier = outbox.courier({"pacs": pacs}, destination={"send": backoff})
    outbox.work(courier, lambda: outbox.of(bad).attempt >= 7)
    others.append(outbox.send("pacs"))
    outbox.work(
        courier,
        lambda: all(outbox.state(job) is DeliveryState.DELIVERED for job in others),
        seconds=2,
    )


def test_one_question_for_proof_that_fails_stops_no_other(
    outbox: Outbox, pacs: FolderArchive
) -> None:
    (bad, *others) = [outbox.send("pacs") for _ in range(3)]
    pacs.unprovable = bad.study_instance_uid
    courier = outbox.courier({"pacs": pacs})
    outbox.work(
        courier, lambda: all(outbox.state(job) is DeliveryState.DELIVERED for job in others)
    )
    assert outbox.state(bad) is DeliveryState.SENT
    assert "cannot be asked for proof" in outbox.of(bad).reason


def test_a_failure_that_is_told_after_the_lease_is_no_error_of_ours(
    outbox: Outbox, pacs: FolderArchive
) -> None:
    job = outbox.send("pacs")
    courier = outbox.courier({"pacs": pacs}, poll=timedelta(seconds=5))

    def expires(_paths: object) -> None:
        outbox.store.deliveries.expire_leases(outbox.clock.now() + timedelta(seconds=2))
        pacs.__dict__.pop("store")
        raise PeerError("timed out")

    pacs.__dict__["store"] = expires
    courier.step()
    outbox.work(courier, lambda: outbox.state(job) is DeliveryState.DELIVERED)


def test_a_file_that_cannot_be_read_now_is_tried_again(outbox: Outbox, pacs: FolderArchive) -> None:
    job, courier = outbox.send("pacs"), outbox.courier({"pacs": pacs})
    path = outbox.results / outbox.of(job).result.path
    path.rename(path.with_suffix(".away"))
    path.mkdir()  # IsADirectoryError, whoever reads it
    outbox.work(courier, lambda: outbox.of(job).attempt == 1)
    path.rmdir()
    path.with_suffix(".away").rename(path)
    outbox.work(courier, lambda: outbox.state(job) is DeliveryState.DELIVERED)


def test_an_unreachable_destination_is_tried_again(outbox: Outbox, pacs: FolderArchive) -> None:
    pacs.answers = [PeerError("connection refused")] * 2
    job, courier = outbox.send("pacs"), outbox.courier({"pacs": pacs})
    outbox.work(
        courier,
        lambda: outbox.of(job).attempt == 1 and outbox.state(job) is DeliveryState.PENDING,
    )
    assert outbox.of(job).reason == "connection refused"
    outbox.work(courier, lambda: outbox.state(job) is DeliveryState.DELIVERED)
    assert outbox.of(job).attempt == 3


def test_the_next_in_the_queue_does_not_wait_in_vain_too(
    outbox: Outbox, pacs: FolderArchive
) -> None:
    pacs.answers = [PeerError("timed out")]
    jobs = [outbox.send("pacs") for _ in range(5)]
    courier = outbox.courier({"pacs": pacs})
    courier.step()
    assert [outbox.of(job).attempt for job in jobs] == [1, 0, 0, 0, 0]
    outbox.work(courier, lambda: all(outbox.state(job) is DeliveryState.DELIVERED for job in jobs))


def test_after_the_last_attempt_it_gives_up_loudly_and_a_person_can_resend(
    outbox: Outbox, pacs: FolderArchive, caplog: pytest.LogCaptureFixture
) -> None:
    pacs.answers = [PeerError("timed out")] * 4
    job, courier = outbox.send("pacs"), outbox.courier({"pacs": pacs})
    outbox.work(courier, lambda: outbox.state(job) is DeliveryState.FAILED)
    assert outbox.of(job).reason == "gave up after 4 attempts: timed out"
    assert "delivery.failed" in caplog.text
    outbox.store.commands.resend(outbox.of(job).delivery_id)
    outbox.work(courier, lambda: outbox.state(job) is DeliveryState.DELIVERED)


def test_a_refusal_for_good_fails_at_once_with_its_reason(
    outbox: Outbox, pacs: FolderArchive
) -> None:
    pacs.answers = [PeerRefused("the storage class is not accepted")]
    first, second = outbox.send("pacs"), outbox.send("pacs")
    outbox.work(
        outbox.courier({"pacs": pacs}),
        lambda: outbox.state(second) is DeliveryState.DELIVERED,
    )
    assert outbox.state(first) is DeliveryState.FAILED
    assert outbox.of(first).reason == "the storage class is not accepted"


@pytest.mark.parametrize(
    ("said", "state"),
    [
        (Said(status=0xA700, accepted=False, retry=True), DeliveryState.DELIVERED),
        (Said(status=0xA900, accepted=False, retry=False), DeliveryState.FAILED),
    ],
)
def test_a_status_says_whether_to_try_again(
    outbox: Outbox, pacs: FolderArchive, said: Said, state: DeliveryState
) -> None:
    pacs.answers = [said]
    job = outbox.send("pacs")
    outbox.work(outbox.courier({"pacs": pacs}), lambda: outbox.state(job) is state)
    if state is DeliveryState.FAILED:
        assert "0xA900" in outbox.of(job).reason


@pytest.mark.parametrize("patient", ["x" * 64, None])
def test_a_study_that_is_another_patients_by_now_is_held(
    outbox: Outbox, pacs: FolderArchive, patient: str | None
) -> None:
    pacs.patient = patient
    job, courier = outbox.send("pacs"), outbox.courier({"pacs": pacs})
    outbox.work(courier, lambda: outbox.state(job) is DeliveryState.HELD)
    assert outbox.of(job).reason == "identity-changed"
    assert pacs.stored == []
    pacs.patient = "k" * 64
    outbox.store.commands.resend(outbox.of(job).delivery_id)
    outbox.work(courier, lambda: outbox.state(job) is DeliveryState.DELIVERED)


def test_a_result_under_an_earlier_identity_is_held_even_where_nobody_knows_the_study(
    outbox: Outbox, pacs: FolderArchive
) -> None:
    pacs.patient = NotFound.NOT_FOUND
    job = outbox.send("pacs")
    outbox.correct_patient(job)
    courier = outbox.courier({"pacs": pacs})
    outbox.work(courier, lambda: outbox.state(job) is DeliveryState.HELD)
    assert outbox.of(job).reason == "made-under-an-earlier-identity"
    assert pacs.stored == []


def test_a_study_that_the_destination_does_not_know_is_sent(
    outbox: Outbox, pacs: FolderArchive
) -> None:
    pacs.patient = NotFound.NOT_FOUND
    job = outbox.send("pacs")
    outbox.work(
        outbox.courier({"pacs": pacs}), lambda: outbox.state(job) is DeliveryState.DELIVERED
    )


def test_a_destination_that_allows_no_comparison_is_not_asked(
    outbox: Outbox, pacs: FolderArchive
) -> None:
    pacs.patient = "x" * 64
    job = outbox.send("pacs")
    courier = outbox.courier({"pacs": pacs}, destination={"check_identity": False})
    outbox.work(courier, lambda: outbox.state(job) is DeliveryState.DELIVERED)


def test_a_file_that_is_not_what_was_committed_is_never_sent(
    outbox: Outbox, pacs: FolderArchive
) -> None:
    changed, missing, good = (outbox.send("pacs") for _ in range(3))
    (outbox.results / outbox.of(changed).result.path).write_text("other")
    (outbox.results / outbox.of(missing).result.path).unlink()
    outbox.work(
        outbox.courier({"pacs": pacs}), lambda: outbox.state(good) is DeliveryState.DELIVERED
    )
    assert outbox.of(changed).reason == "result-file-changed"
    assert outbox.of(missing).reason == "result-file-missing"
    assert {outbox.state(changed), outbox.state(missing)} == {DeliveryState.HELD}
    assert len(pacs.stored) == 1


def test_proof_may_take_a_while(outbox: Outbox, pacs: FolderArchive) -> None:
    pacs.forgets = 2
    job = outbox.send("pacs")
    outbox.work(
        outbox.courier({"pacs": pacs}), lambda: outbox.state(job) is DeliveryState.DELIVERED
    )
    assert (pacs.asked, len(pacs.stored)) == (3, 1)


def test_what_was_accepted_and_lost_is_sent_again(outbox: Outbox, pacs: FolderArchive) -> None:
    pacs.forgets = 4
    job = outbox.send("pacs")
    outbox.work(
        outbox.courier({"pacs": pacs}), lambda: outbox.state(job) is DeliveryState.DELIVERED
    )
    assert len(pacs.stored) == 2
    assert len(set(pacs.stored)) == 1


def test_a_paused_destination_waits_and_goes_on_when_resumed(
    outbox: Outbox, pacs: FolderArchive
) -> None:
    outbox.store.controls.pause("destination", "pacs", "admin")
    job, courier = outbox.send("pacs"), outbox.courier({"pacs": pacs})
    for _ in range(3):
        courier.step()
    assert outbox.state(job) is DeliveryState.PENDING
    outbox.store.controls.resume("destination", "pacs")
    outbox.work(courier, lambda: outbox.state(job) is DeliveryState.DELIVERED)


class HangingArchive(FolderArchive):
    """Answers only when it is let go."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.let_go = threading.Event()
        self.answered = False

    def store(self, paths: object) -> tuple[Said, ...]:
        self.let_go.wait(30)
        self.answered = True
        raise PeerError("aborted")


def test_a_destination_that_hangs_holds_up_no_other(
    outbox: Outbox, pacs: FolderArchive, tmp_path: Path
) -> None:
    dead = HangingArchive(tmp_path / "dead")
    courier = outbox.courier({"dead": dead, "pacs": pacs})
    try:
        jobs = [outbox.send("dead", "pacs") for _ in range(3)]
        outbox.work(
            courier,
            lambda: all(outbox.state(job) is DeliveryState.DELIVERED for job in jobs),
        )
        assert not dead.answered
    finally:
        dead.let_go.set()


def test_an_error_of_ours_in_one_lane_is_told_after_the_others_were_served(
    outbox: Outbox, pacs: FolderArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = FolderArchive(tmp_path / "broken")
    broken.answers = [None]  # type: ignore[list-item]
    job = outbox.send("broken", "pacs")
    courier = outbox.courier({"broken": broken, "pacs": pacs})
    with pytest.raises(AttributeError):
        outbox.work(courier, lambda: False)
    outbox.work(courier, lambda: outbox.state(job) is DeliveryState.DELIVERED)
    outbox.work(courier, lambda: outbox.state(job, "broken") is DeliveryState.DELIVERED)


@pytest.mark.parametrize(
    "point",
    [
        CrashPoint.DELIVERY_AFTER_CLAIM,
        CrashPoint.DELIVERY_AFTER_SEND,
        CrashPoint.DELIVERY_BEFORE_PROOF,
    ],
)
def test_a_kill_of_the_courier_loses_nothing_and_doubles_nothing(
    outbox: Outbox, pacs: FolderArchive, tmp_path: Path, point: CrashPoint
) -> None:
    job, armed = outbox.send("pacs"), arm(tmp_path, point)
    script = (
        "import sys; from pathlib import Path\n"
        "from tests.couriers import FolderArchive, Outbox\n"
        "folder = Path(sys.argv[1]); outbox = Outbox(folder, new=False)\n"
        "courier = outbox.courier({'pacs': FolderArchive(folder / 'pacs')}, name='killed')\n"
        "outbox.work(courier, lambda: False)\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {VARIABLE: str(armed.parent)},
        timeout=60,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert not armed.exists()
    outbox.work(
        outbox.courier({"pacs": pacs}), lambda: outbox.state(job) is DeliveryState.DELIVERED
    )
    assert len(list(pacs.folder.iterdir())) == 1
