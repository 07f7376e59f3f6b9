"""MPPS and availability: what is refused, what is kept, with the statuses of the standard."""

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from appliance.core.clock import SystemClock
from scp.announced import (
    AVAILABILITY,
    PERFORMED_STEP,
    StepStatus,
    availability,
    changed_step,
    created_step,
)
from scp.announcing import NO_LONGER, Availability, Desk, PerformedSteps
from scp.association import Caller
from scp.command import N_CREATE_RQ, N_SET_RQ, Command
from scp.elements import MOST_ITEMS, NStatus, Unacceptable
from scp.notices import Notices
from scp.services import Message, Reply, Service
from scp.step_states import StepStates
from tests.announcements import (
    available,
    discontinued_because,
    encoded,
    ended_step,
    new_step,
)

CALLER = Caller(calling_ae_title="MR01", called_ae_title="APPLIANCE", address="127.0.0.1")
STEP = "1.2.3.9"
SYNTAXES = {
    ImplicitVRLittleEndian: {"implicit": True},
    ExplicitVRLittleEndian: {"implicit": False},
    ExplicitVRBigEndian: {"implicit": False, "little": False},
}


class Peer:
    """A modality that talks to the services of one spool."""

    def __init__(self, root: Path) -> None:
        self.notices = Notices(root)
        self.states = StepStates(root)
        self.told: list[int] = []
        desk = Desk(self.notices, SystemClock(), lambda: self.told.append(1))
        self.steps = PerformedSteps(desk, self.states)
        self.availability = Availability(desk)

    def create(self, dataset: Dataset | bytes, uid: str = STEP) -> Reply:
        return self._ask(self.steps, PERFORMED_STEP, N_CREATE_RQ, dataset, uid)

    def set(self, dataset: Dataset | bytes, uid: str = STEP) -> Reply:
        return self._ask(self.steps, PERFORMED_STEP, N_SET_RQ, dataset, uid)

    def notify(self, dataset: Dataset | bytes, uid: str = "1.2.3.8") -> Reply:
        return self._ask(self.availability, AVAILABILITY, N_CREATE_RQ, dataset, uid)

    @staticmethod
    def _ask(
        service: Service, sop_class: str, field: int, dataset: Dataset | bytes, uid: str
    ) -> Reply:
        command = Command(
            field=field,
            message_id=1,
            has_data_set=True,
            sop_class_uid=sop_class,
            sop_instance_uid=uid,
        )
        data = dataset if isinstance(dataset, bytes) else encoded(dataset)
        return service.answer(
            Message(
                caller=CALLER,
                command=command,
                transfer_syntax_uid=ImplicitVRLittleEndian,
                data_set=data,
            )
        )


@pytest.fixture
def peer(tmp_path: Path) -> Peer:
    return Peer(tmp_path)


def status_of(reply: Reply) -> int:
    return reply.status


def test_a_step_is_created_changed_and_ended_and_each_message_is_kept(peer: Peer) -> None:
    created, ended = new_step(), ended_step({"1.5": ["1.5.1"]})
    assert peer.create(created) == Reply(status=0, sop_instance_uid=STEP)
    assert peer.set(Dataset()).status == NStatus.SUCCESS  # says nothing, which is allowed
    assert peer.states.get(STEP) is StepStatus.IN_PROGRESS
    assert peer.set(ended).status == NStatus.SUCCESS
    assert peer.states.get(STEP) is StepStatus.COMPLETED
    kept = [peer.notices.read(name) for name in peer.notices.names()]
    assert [data for _, data in kept] == [encoded(created), b"", encoded(ended)]
    assert [notice.operation for notice, _ in kept] == [N_CREATE_RQ, N_SET_RQ, N_SET_RQ]
    assert {notice.sop_instance_uid for notice, _ in kept} == {STEP}
    assert peer.told == [1, 1, 1]


def test_a_step_that_exists_is_not_created_again(peer: Peer) -> None:
    peer.create(new_step())
    assert peer.create(new_step()).status == NStatus.DUPLICATE == 0x0111
    assert len(peer.notices.names()) == 1


def test_a_step_that_does_not_exist_cannot_be_changed(peer: Peer) -> None:
    assert peer.set(ended_step({})).status == NStatus.NO_SUCH_INSTANCE == 0x0112
    assert peer.notices.names() == ()
    assert peer.told == []


@pytest.mark.parametrize("status", ["COMPLETED", "DISCONTINUED"])
def test_a_step_that_is_over_cannot_be_changed(peer: Peer, status: str) -> None:
    peer.create(new_step())
    peer.set(ended_step({}, status))
    reply = peer.set(ended_step({}))
    assert reply == Reply(status=0x0110, comment=NO_LONGER, error_id=0xA710)  # PS3.4 F.7.2.2
    assert len(reply.comment) <= 64
    assert len(peer.notices.names()) == 2


def test_a_step_without_a_uid_gets_one(peer: Peer) -> None:
    first, second = peer.create(new_step(), ""), peer.create(new_step(), "")
    assert first.sop_instance_uid != second.sop_instance_uid
    notice, _ = peer.notices.read(peer.notices.names()[0])
    assert notice.sop_instance_uid == first.sop_instance_uid
    assert peer.set(ended_step({}), first.sop_instance_uid).status == NStatus.SUCCESS


MISTAKES: dict[str, tuple[Dataset | bytes, int]] = {
    "no status": (new_step(PerformedProcedureStepStatus=None), 0x0120),
    "an empty status": (new_step(PerformedProcedureStepStatus=""), 0x0121),
    "a status that is none": (new_step(PerformedProcedureStepStatus="STARTED"), 0x0106),
    "created as completed": (new_step(PerformedProcedureStepStatus="COMPLETED"), 0x0106),
    "no scheduled step": (new_step(ScheduledStepAttributesSequence=None), 0x0120),
    "an empty scheduled step": (new_step(ScheduledStepAttributesSequence=[Dataset()]), 0x0120),
    "an empty study": (new_step(""), 0x0121),
    "no data set": (b"", 0x0120),
    "cut off": (encoded(new_step())[:-3], 0x0110),
    "garbage": (b"GET / HTTP/1.1\r\n\r\n" * 4, 0x0110),
    "very many items": (b"\xfe\xff\x00\xe0\0\0\0\0" * (MOST_ITEMS + 1), 0x0213),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_creation_that_cannot_be_used_gets_a_status_and_leaves_nothing(
    peer: Peer, name: str
) -> None:
    data, status = MISTAKES[name]
    reply = peer.create(data)
    assert (reply.status, bool(reply.comment)) == (status, True)
    assert peer.notices.names() == ()
    assert peer.states.get(STEP) is None


def test_a_uid_that_is_none_is_told_and_reaches_no_file(peer: Peer, tmp_path: Path) -> None:
    for uid in ("../../x", "1." * 40 + "1", "a"):
        assert peer.create(new_step(), uid).status == NStatus.INVALID_INSTANCE == 0x0117
    data = encoded(new_step("1.2.3.1")).replace(b"1.2.3.1\0", b"../../x\0")
    assert peer.create(data).status == NStatus.INVALID_VALUE
    assert peer.set(Dataset(), "").status == NStatus.INVALID_INSTANCE
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def nested(depth: int) -> bytes:
    """Sequences in sequences, of undefined length, in Implicit VR Little Endian."""
    begin = bytes.fromhex("08001011ffffffff feff00e0ffffffff")
    end = bytes.fromhex("feff0de000000000 feffdde000000000")
    return begin * depth + end * depth


def test_sequences_five_hundred_deep_are_a_status(peer: Peer) -> None:
    for depth in (500, 5000):
        assert peer.create(nested(depth) + encoded(new_step())).status == NStatus.FAILURE


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_message_with_any_byte_changed_gets_an_answer(peer: Peer, data: Any) -> None:
    whole = encoded(ended_step({"1.5": ["1.5.1", "1.5.2"]}))
    position = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(0, 255))
    changed = whole[:position] + bytes([byte]) + whole[position + 1 :]
    if peer.states.get(STEP) is not StepStatus.IN_PROGRESS:
        peer.states.put(STEP, StepStatus.IN_PROGRESS)
    assert peer.set(changed).status in set(NStatus)
    for name in peer.notices.names():
        peer.notices.finish(name)


def test_a_disk_that_refuses_is_a_status_and_the_step_can_be_created_later(tmp_path: Path) -> None:
    peer = Peer(tmp_path)
    full = Notices(tmp_path, refuse_below_bytes=2**62)
    steps = PerformedSteps(Desk(full, SystemClock(), lambda: None), peer.states)
    refused = Peer._ask(steps, PERFORMED_STEP, N_CREATE_RQ, new_step(), STEP)
    assert refused.status == NStatus.RESOURCES == 0x0213
    assert peer.create(new_step()).status == NStatus.SUCCESS


def test_of_two_that_create_one_step_at_once_one_is_told_that_it_exists(tmp_path: Path) -> None:
    peers = [Peer(tmp_path) for _ in range(4)]
    replies: list[Reply] = []
    threads = [
        threading.Thread(target=lambda one=one: replies.append(one.create(new_step())))  # type: ignore[misc]
        for one in peers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(status_of, replies)) == [0, 0x0111, 0x0111, 0x0111]


def test_a_notification_is_kept_and_the_same_again_is_no_error(peer: Peer) -> None:
    data = available("1.2.3.1", {"1.5": ["1.5.1"]})
    assert [peer.notify(data).status for _ in range(2)] == [0, 0]
    assert len(peer.notices.names()) == 2
    assert peer.notify(available("1.2.3.1", {})).status == NStatus.MISSING_ATTRIBUTE
    assert peer.notify(available("", {"1.5": ["1.5.1"]})).status == NStatus.MISSING_VALUE


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_the_three_plain_transfer_syntaxes_say_the_same(syntax: str) -> None:
    how = SYNTAXES[syntax]
    created = created_step(encoded(new_step("1.2.3.1", "1.2.3.2"), **how), syntax)
    assert created.study_instance_uids == ("1.2.3.1", "1.2.3.2")
    why = discontinued_because("110514", "Incorrect worklist entry selected")
    changes = {"PerformedProcedureStepDiscontinuationReasonCodeSequence": why}
    data = ended_step({"1.5": ["1.5.1", "1.5.2"], "1.6": []}, "DISCONTINUED", **changes)
    changed = changed_step(encoded(data, **how), syntax)
    assert changed.status is StepStatus.DISCONTINUED
    assert changed.reason == "110514 DCM"
    assert changed.listed is not None
    assert {uid: set(found) for uid, found in changed.listed.items()} == {
        "1.5": {"1.5.1", "1.5.2"},
        "1.6": set(),
    }
    told = availability(encoded(available("1.2.3.1", {"1.5": ["1.5.1"]}), **how), syntax)
    assert (told.study_instance_uid, list(told.listed["1.5"])) == ("1.2.3.1", ["1.5.1"])


def test_what_is_unavailable_is_not_listed() -> None:
    data = encoded(available("1.2.3.1", {"1.5": ["1.5.1"]}, "UNAVAILABLE"))
    assert availability(data, ImplicitVRLittleEndian).listed == {"1.5": {}}


def test_a_list_that_is_no_sequence_is_told() -> None:
    data = bytes.fromhex("40004003") + (4).to_bytes(4, "little") + b"\x01\x02\x03\x04"
    with pytest.raises(Unacceptable):
        changed_step(data, ImplicitVRLittleEndian)


def test_an_empty_element_of_an_unknown_representation_is_told() -> None:
    data = encoded(available("1.2.3.1", {"1.5": ["1.5.1"]}), implicit=False)
    uid = bytes.fromhex("08005511") + b"UI"  # Referenced SOP Instance UID (0008,1155)
    assert uid in data
    for wrong in (b"XX\0\0", b"U\xff\0\0"):
        position = data.index(uid) + 4
        broken = data[:position] + wrong + data[position + 4 :]
        with pytest.raises(Unacceptable):
            availability(broken, ExplicitVRLittleEndian)


def test_steps_that_ended_long_ago_are_forgotten(peer: Peer) -> None:
    peer.create(new_step())
    assert peer.states.sweep(datetime(2020, 1, 1, tzinfo=UTC)) == 0
    assert peer.states.sweep(datetime(2100, 1, 1, tzinfo=UTC)) == 1
    assert peer.states.get(STEP) is None


def test_a_damaged_state_says_that_the_step_began(peer: Peer, tmp_path: Path) -> None:
    peer.create(new_step())
    (file,) = (path for path in (tmp_path / "mpps").iterdir() if path.name != "lock")
    file.write_bytes(b"\xff")
    assert peer.states.get(STEP) is StepStatus.IN_PROGRESS


def test_a_group_case_names_each_study_once() -> None:
    scheduled = new_step("1.2.3.1", "1.2.3.2", "1.2.3.1").ScheduledStepAttributesSequence
    data = encoded(new_step(ScheduledStepAttributesSequence=Sequence(scheduled)))
    assert created_step(data, ImplicitVRLittleEndian).study_instance_uids == ("1.2.3.1", "1.2.3.2")
