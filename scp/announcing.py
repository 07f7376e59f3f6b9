"""The services by which modalities and archives tell of images: MPPS and availability.

A message that is answered with success is a notice in the spool; what it means for a study is
judged by intake. Here only what PS3.4 annexes F.7 and R and PS3.7 let a provider refuse, known
from files alone.
"""

from collections.abc import Callable
from dataclasses import replace
from secrets import token_hex

from appliance.core.clock import Clock
from appliance.core.log import Event, log_event
from appliance.core.uids import is_usable_uid, uid_from_name
from scp.announced import (
    AVAILABILITY,
    FINAL,
    PERFORMED_STEP,
    StepStatus,
    availability,
    changed_step,
    created_step,
)
from scp.command import N_CREATE_RQ, N_SET_RQ
from scp.elements import NStatus, Unacceptable
from scp.notices import Notice, Notices
from scp.services import Message, Reply
from scp.step_states import StepStates

# PS3.4 table F.7.2-2: what is answered where a step that is over is to be changed.
NO_LONGER = "Performed Procedure Step Object may no longer be updated"
NO_LONGER_ID = 0xA710


class Desk:
    """Takes messages in: durable as notices, told to whoever reads them, logged.

    What is refused, whoever answers tells.
    """

    def __init__(self, notices: Notices, clock: Clock, told: Callable[[], None]) -> None:
        self._notices = notices
        self._clock = clock
        self._told = told

    def answer(self, message: Message, judged: Callable[[Message], Reply]) -> Reply:
        """Return `judged`'s reply, with every fault a status."""
        try:
            reply = _checked(message) or judged(message)
        except Unacceptable as fault:
            reply = Reply(status=fault.status, comment=fault.comment)
        except OSError:
            reply = Reply(status=NStatus.RESOURCES, comment="no room; send again later")
        if reply.status == NStatus.SUCCESS:
            self._log(message)
            self._told()
        return reply

    def keep(self, message: Message) -> None:
        """Return when the message is durable. Raises OSError."""
        command, caller = message.command, message.caller
        notice = Notice(
            operation=command.field,
            sop_class_uid=command.sop_class_uid,
            sop_instance_uid=command.sop_instance_uid,
            action_type_id=command.action_type_id,
            transfer_syntax_uid=message.transfer_syntax_uid,
            calling_ae_title=caller.calling_ae_title,
            called_ae_title=caller.called_ae_title,
            peer_address=caller.address,
            received_at=self._clock.now(),
        )
        self._notices.put(notice, message.data_set)

    @staticmethod
    def _log(message: Message) -> None:
        log_event(
            Event.NOTICE_RECEIVED,
            sop_class_uid=message.command.sop_class_uid,
            sop_instance_uid=message.command.sop_instance_uid,
            calling_ae_title=message.caller.calling_ae_title,
            peer_address=message.caller.address,
            size=len(message.data_set),
        )


class PerformedSteps:
    """Modality Performed Procedure Step SOP Class, as provider. PS3.4 annex F.7."""

    sop_class_uids: tuple[str, ...] = (PERFORMED_STEP,)
    operations: frozenset[int] = frozenset({N_CREATE_RQ, N_SET_RQ})

    def __init__(self, desk: Desk, states: StepStates) -> None:
        self._desk = desk
        self._states = states

    def answer(self, message: Message) -> Reply:
        """Return the reply; after success the message is a notice and the state is kept."""
        is_new = message.command.field == N_CREATE_RQ
        return self._desk.answer(message, self._create if is_new else self._set)

    def _create(self, message: Message) -> Reply:
        created_step(message.data_set, message.transfer_syntax_uid)
        message = _named(message)
        uid = message.command.sop_instance_uid
        with self._states.held():
            if self._states.get(uid) is not None:
                return Reply(status=NStatus.DUPLICATE, comment="the step exists already")
            self._desk.keep(message)
            # After the notice: a crash in between lets the modality create it once more.
            self._states.put(uid, StepStatus.IN_PROGRESS)
        return Reply(status=NStatus.SUCCESS, sop_instance_uid=uid)

    def _set(self, message: Message) -> Reply:
        report = changed_step(message.data_set, message.transfer_syntax_uid)
        uid = message.command.sop_instance_uid
        with self._states.held():
            state = self._states.get(uid)
            if state is None:
                return Reply(status=NStatus.NO_SUCH_INSTANCE, comment="the step is not known")
            if state in FINAL:
                return Reply(status=NStatus.FAILURE, comment=NO_LONGER, error_id=NO_LONGER_ID)
            self._desk.keep(message)
            self._states.put(uid, report.status or state)
        return Reply(status=NStatus.SUCCESS)


class Availability:
    """Instance Availability Notification SOP Class, as provider. PS3.4 annex R.

    The same notification twice is no error: it says nothing new.
    """

    sop_class_uids: tuple[str, ...] = (AVAILABILITY,)
    operations: frozenset[int] = frozenset({N_CREATE_RQ})

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def answer(self, message: Message) -> Reply:
        """Return the reply; after success the message is a notice."""
        return self._desk.answer(message, self._create)

    def _create(self, message: Message) -> Reply:
        availability(message.data_set, message.transfer_syntax_uid)
        message = _named(message)
        self._desk.keep(message)
        return Reply(status=NStatus.SUCCESS, sop_instance_uid=message.command.sop_instance_uid)


def _checked(message: Message) -> Reply | None:
    """Return the refusal of what cannot be answered with anything else; else None."""
    uid = message.command.sop_instance_uid
    if not uid and message.command.field == N_CREATE_RQ:
        return None  # the provider gives the UID (PS3.7 section 10.1.5.1.4)
    if not is_usable_uid(uid):
        return Reply(status=NStatus.INVALID_INSTANCE, comment="the SOP Instance UID is none")
    return None


def _named(message: Message) -> Message:
    """Return the N-CREATE with a SOP Instance UID, which is ours where it had none."""
    if message.command.sop_instance_uid:
        return message
    uid = uid_from_name("n-create", token_hex(16))
    return replace(message, command=replace(message.command, sop_instance_uid=uid))
