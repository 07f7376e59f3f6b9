"""C-STORE: bytes into the spool, then check, keep, announce, answer.

Knows no network: a session reads the bytes of each data set to where it is told, and asks for the
outcome when the last one has come.
"""

import logging
from contextlib import suppress
from dataclasses import dataclass

from appliance.core.clock import Clock
from appliance.core.log import Event, log_event
from appliance.core.model import Door, ReceivedInstance
from appliance.core.uids import is_usable_uid
from scp.association import Caller
from scp.command import Command, ProtocolViolation
from scp.filemeta import Provenance
from scp.head import Fault, Identity, MalformedDataSet
from scp.incoming import IncomingInstance
from scp.options import ReceiverOptions
from scp.refusals import RefusalLog
from scp.shelves import KeepingShelf
from scp.spool import Spool
from scp.status import STATUSES, Outcome
from scp.tally import Tally

_TRASH = 65_536  # bytes; shared, as nobody reads them
_FAULTS = {Fault.NOT_DICOM: Outcome.NOT_DICOM, Fault.TRUNCATED: Outcome.TRUNCATED}


@dataclass(frozen=True, slots=True)
class Kept:
    """An instance that is in the spool, and the seconds that this took."""

    instance: ReceivedInstance
    seconds: float


class Upload:
    """The data set of one C-STORE request, being received.

    Never raises for what the disk does: it remembers that, and takes the rest to throw it away.
    """

    def __init__(self, command: Command, limit: int, trash: memoryview) -> None:
        self.command = command
        self.writer: IncomingInstance | None = None
        self.fault: Outcome | None = None
        self.kept: Kept | None = None
        self.size = 0
        self._limit = limit
        self._trash = trash

    def space(self, size: int) -> memoryview:
        """Return where the next bytes go: at most `size`, at least one.

        Raises ProtocolViolation where the data set becomes larger than the site allows.
        """
        if self.size + size > self._limit:
            self.drop(Outcome.TOO_LARGE)
            raise ProtocolViolation(f"a data set of more than {self._limit} bytes")
        if self.writer is not None:
            try:
                return self.writer.space(size)
            except OSError:
                self.drop(Outcome.NO_ROOM)
        return self._trash[:size]

    def took(self, size: int) -> None:
        """Count the first `size` bytes of the last space as received."""
        self.size += size
        if self.writer is not None:
            self.writer.took(size)

    def drop(self, fault: Outcome) -> None:
        """Keep nothing of this instance; what still comes of it is thrown away."""
        if self.writer is not None:
            self.writer.discard()
        self.writer = None
        self.fault = fault


class Reception:
    """Receives instances for all associations of this process."""

    def __init__(
        self,
        options: ReceiverOptions,
        spool: Spool,
        shelf: KeepingShelf,
        *,
        tally: Tally,
        refusals: RefusalLog,
        clock: Clock,
    ) -> None:
        self._options = options
        self._spool = spool
        self._shelf = shelf
        self._tally = tally
        self._refusals = refusals
        self._clock = clock
        self._disk_is_low = False
        self._trash = memoryview(bytearray(_TRASH))

    def begin(self, caller: Caller, command: Command, transfer_syntax_uid: str) -> Upload:
        """Return where the data set of the request goes: to the spool, or nowhere."""
        upload = Upload(command, self._options.max_message_bytes, self._trash)
        try:
            upload.fault = self._fault_before_data(command)
        except OSError:
            upload.fault = Outcome.NO_ROOM
        if upload.fault is None:
            provenance = self._provenance(caller, command, transfer_syntax_uid)
            upload.writer = IncomingInstance(provenance, self._shelf)
        return upload

    def _provenance(self, caller: Caller, command: Command, transfer_syntax_uid: str) -> Provenance:
        return Provenance(
            sop_class_uid=command.sop_class_uid,
            sop_instance_uid=command.sop_instance_uid,
            transfer_syntax_uid=transfer_syntax_uid,
            calling_ae_title=caller.calling_ae_title,
            called_ae_title=caller.called_ae_title,
            peer_address=caller.address,
            received_at=self._clock.now(),
            door=Door.FETCHED if command.move_originator == self._options.ae_title else Door.PUSHED,
        )

    def _fault_before_data(self, command: Command) -> Outcome | None:
        if not command.has_data_set:
            return Outcome.NO_DATA_SET
        if not command.sop_instance_uid:
            return Outcome.NO_INSTANCE_UID
        if not is_usable_uid(command.sop_instance_uid) or not is_usable_uid(command.sop_class_uid):
            return Outcome.UNUSABLE_UID
        if not self._has_room():
            return Outcome.NO_ROOM
        return None

    def _has_room(self) -> bool:
        free = self._spool.free_bytes()
        is_low = free < self._options.warn_below_bytes
        if is_low and not self._disk_is_low:
            log_event(Event.DISK_LOW, level=logging.WARNING, free=free)
        self._disk_is_low = is_low
        return free >= self._options.refuse_below_bytes

    def finish(self, caller: Caller, upload: Upload) -> Outcome:
        """Return the outcome of a request whose data set is complete. Never raises."""
        began = self._clock.monotonic()
        try:
            outcome = self._keep(upload, began)
        except Exception as error:  # noqa: BLE001 — one instance must not end the association
            outcome = Outcome.NO_ROOM if isinstance(error, OSError) else Outcome.FAILED
            self._refuse(caller, upload, outcome, error=type(error).__name__)
            return outcome
        finally:
            if upload.writer is not None:
                with suppress(OSError):
                    upload.writer.discard()
        if STATUSES[outcome].code != 0:
            self._refuse(caller, upload, outcome)
        return outcome

    def settle(self) -> None:
        """Keep what an association was promised for its end. Raises OSError."""
        self._shelf.settle()

    def _keep(self, upload: Upload, began: float) -> Outcome:
        if upload.fault is not None or upload.writer is None:
            return upload.fault or Outcome.FAILED
        try:
            identity = upload.writer.identity()
        except MalformedDataSet as fault:
            return _FAULTS[fault.fault]
        if refusal := refusal_of(upload.command, identity):
            return refusal
        instance, is_new = upload.writer.commit(identity, self._clock.now())
        upload.kept = Kept(instance, round(self._clock.monotonic() - began, 4))
        return Outcome.STORED if is_new else Outcome.DUPLICATE

    def tell(self, caller: Caller, upload: Upload, outcome: Outcome) -> None:
        """Count and log an instance that was kept; its sender has its answer and need not wait."""
        if upload.kept is None:
            return
        instance = upload.kept.instance
        self._tally.count(caller.calling_ae_title, caller.address, outcome.value, instance.size)
        log_event(
            Event.INSTANCE_RECEIVED if outcome is Outcome.STORED else Event.INSTANCE_DUPLICATE,
            study_instance_uid=instance.study_instance_uid,
            series_instance_uid=instance.series_instance_uid,
            sop_instance_uid=instance.sop_instance_uid,
            calling_ae_title=caller.calling_ae_title,
            peer_address=caller.address,
            size=instance.size,
            seconds=upload.kept.seconds,
        )

    def _refuse(self, caller: Caller, upload: Upload, outcome: Outcome, **fields: object) -> None:
        self._tally.count(caller.calling_ae_title, caller.address, outcome.value)
        uid = upload.command.sop_instance_uid
        self._refusals.tell(
            Event.INSTANCE_REFUSED,
            outcome.value,
            calling_ae_title=caller.calling_ae_title,
            peer_address=caller.address,
            status=f"{STATUSES[outcome].code:04X}",
            # What is no UID may be anything, so it is not written down.
            sop_instance_uid=uid if is_usable_uid(uid) else "",
            size=upload.size,
            **fields,
        )

    def abandon(self, caller: Caller, upload: Upload) -> None:
        """The association ended in the middle of the data set: nothing is kept."""
        outcome = upload.fault or Outcome.TRUNCATED
        upload.drop(outcome)
        self._refuse(caller, upload, outcome, error="association ended")


def refusal_of(command: Command, identity: Identity) -> Outcome | None:
    """Return what is wrong with the UIDs of a data set, or None."""
    if not identity.sop_instance_uid:
        return Outcome.NO_INSTANCE_UID
    if not identity.study_instance_uid or not identity.series_instance_uid:
        return Outcome.NO_STUDY_OR_SERIES_UID
    uids = (identity.study_instance_uid, identity.series_instance_uid)
    if not all(map(is_usable_uid, uids)):
        return Outcome.UNUSABLE_UID
    if identity.sop_class_uid != command.sop_class_uid:
        return Outcome.CLASS_MISMATCH
    if identity.sop_instance_uid != command.sop_instance_uid:
        return Outcome.INSTANCE_MISMATCH
    return None
