"""Instances that come by another way than a C-STORE to us, kept by the same rules.

Whoever has bytes of an instance (a STOW-RS request, a file, a C-GET that we made) writes them
into a deposit as they come. Unlike a modality he still has the original, so a data set that ends
too early is refused here and not kept.
"""

import logging
from contextlib import suppress
from dataclasses import dataclass

from appliance.core.clock import Clock
from appliance.core.log import Event, log_event
from appliance.core.model import Door
from appliance.core.ports import InstanceSink
from appliance.core.uids import is_usable_uid
from scp.command import C_STORE_RQ, Command
from scp.contexts import STORED, is_private_class, is_storage_class
from scp.filemeta import Provenance
from scp.head import Fault, Identity, MalformedDataSet
from scp.incoming import IncomingInstance
from scp.spool import Spool
from scp.status import STATUSES, Outcome
from scp.store import refusal_of
from scp.tally import Tally

_FAULTS = {Fault.NOT_DICOM: Outcome.NOT_DICOM, Fault.TRUNCATED: Outcome.TRUNCATED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where instances come from. `study_instance_uid` is the only study that is taken, if given."""

    door: Door
    calling_ae_title: str
    called_ae_title: str
    peer_address: str
    study_instance_uid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """What whoever sends an instance says it is, before its data set is read."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


class Deposit:
    """One instance on its way. Never raises for what the disk does: it remembers."""

    def __init__(
        self, depot: "Depot", source: Source, claimed: Claimed, writer: IncomingInstance | None
    ) -> None:
        self.claimed = claimed
        self.fault: Outcome | None = None
        self.size = 0
        self._depot = depot
        self._source = source
        self._writer = writer

    def write(self, fragment: bytes | memoryview) -> None:
        """Take a piece of the data set; what is of no use is thrown away."""
        self.size += len(fragment)
        if self._writer is None:
            return
        if self.size > self._depot.largest:
            self.refuse(Outcome.TOO_LARGE)
            return
        try:
            self._writer.write(fragment)
        except OSError:
            self.refuse(Outcome.NO_ROOM)

    def refuse(self, fault: Outcome) -> None:
        """Keep nothing of this instance. A second time does nothing."""
        self.discard()
        self.fault = self.fault or fault

    def discard(self) -> None:
        """Remove what was written, if it is not kept yet."""
        writer, self._writer = self._writer, None
        if writer is not None:
            with suppress(OSError):
                writer.discard()

    def finish(self) -> Outcome:
        """Return what became of the instance, whose last byte has come; kept means durable."""
        outcome = self._keep()
        self._depot.count(self._source, outcome, self.size)
        if STATUSES[outcome].code != 0:
            self._depot.log_refusal(self._source, self, outcome)
        self.discard()
        return outcome

    def _keep(self) -> Outcome:
        if self._writer is None:
            return self.fault or Outcome.FAILED
        try:
            identity = self._writer.identity()
            if refusal := self._refusal(identity):
                return refusal
            self._writer.verify()
            return self._depot.keep(self._writer, identity)
        except MalformedDataSet as fault:
            return _FAULTS[fault.fault]
        except (OSError, ValueError):  # ValueError: there is nothing to map
            return Outcome.NO_ROOM if self.size else Outcome.NO_DATA_SET

    def _refusal(self, identity: Identity) -> Outcome | None:
        wanted = self._source.study_instance_uid
        command = Command(
            field=C_STORE_RQ,
            message_id=0,
            has_data_set=True,
            sop_class_uid=self.claimed.sop_class_uid,
            sop_instance_uid=self.claimed.sop_instance_uid,
        )
        refusal = refusal_of(command, identity)
        if refusal is None and wanted and identity.study_instance_uid != wanted:
            return Outcome.OTHER_STUDY
        return refusal


class Depot:
    """Takes instances into the spool. Safe in several threads. Sizes in bytes."""

    def __init__(
        self,
        spool: Spool,
        sink: InstanceSink,
        clock: Clock,
        *,
        largest: int,
        refuse_below: int,
        tally: Tally | None = None,
    ) -> None:
        self._spool = spool
        self._sink = sink
        self._clock = clock
        self._refuse_below = refuse_below
        self._tally = tally
        self.largest = largest

    def has_room(self) -> bool:
        """Return whether the disk has more than its last reserve."""
        return self._spool.free_bytes() >= self._refuse_below

    def begin(self, source: Source, claimed: Claimed) -> Deposit:
        """Return where the data set goes: to the disk, or nowhere."""
        fault = self._fault(claimed)
        writer = None
        if fault is None:
            try:
                writer = self._spool.writer(self._provenance(source, claimed))
            except OSError:
                fault = Outcome.NO_ROOM
        deposit = Deposit(self, source, claimed, writer)
        deposit.fault = fault
        return deposit

    def _fault(self, claimed: Claimed) -> Outcome | None:
        if claimed.transfer_syntax_uid not in STORED:
            return Outcome.TRANSFER_SYNTAX
        if not claimed.sop_instance_uid:
            return Outcome.NO_INSTANCE_UID
        if not is_usable_uid(claimed.sop_instance_uid) or not is_usable_uid(claimed.sop_class_uid):
            return Outcome.UNUSABLE_UID
        if not (is_storage_class(claimed.sop_class_uid) or is_private_class(claimed.sop_class_uid)):
            return Outcome.SOP_CLASS
        return None if self.has_room() else Outcome.NO_ROOM

    def _provenance(self, source: Source, claimed: Claimed) -> Provenance:
        return Provenance(
            sop_class_uid=claimed.sop_class_uid,
            sop_instance_uid=claimed.sop_instance_uid,
            transfer_syntax_uid=claimed.transfer_syntax_uid,
            calling_ae_title=source.calling_ae_title,
            called_ae_title=source.called_ae_title,
            peer_address=source.peer_address,
            received_at=self._clock.now(),
            door=source.door,
        )

    def keep(self, writer: IncomingInstance, identity: Identity) -> Outcome:
        """Return STORED or DUPLICATE when the instance is durable. Raises OSError."""
        instance, is_new = writer.commit(identity, self._clock.now())
        if is_new:
            self._sink.received(instance)
        log_event(
            Event.INSTANCE_RECEIVED if is_new else Event.INSTANCE_DUPLICATE,
            study_instance_uid=instance.study_instance_uid,
            series_instance_uid=instance.series_instance_uid,
            sop_instance_uid=instance.sop_instance_uid,
            calling_ae_title=instance.calling_ae_title,
            peer_address=instance.peer_address,
            size=instance.size,
            door=instance.door.value,
        )
        return Outcome.STORED if is_new else Outcome.DUPLICATE

    def count(self, source: Source, outcome: Outcome, size: int) -> None:
        """Count what became of one instance, where there are counters."""
        if self._tally is not None:
            kept = size if outcome is Outcome.STORED else 0
            self._tally.count(source.calling_ae_title, source.peer_address, outcome.value, kept)

    def log_refusal(self, source: Source, deposit: Deposit, outcome: Outcome) -> None:
        """Say which instance was not kept, and why."""
        uid = deposit.claimed.sop_instance_uid
        log_event(
            Event.INSTANCE_REFUSED,
            level=logging.WARNING,
            reason=outcome.value,
            status=f"{STATUSES[outcome].code:04X}",
            sop_instance_uid=uid if is_usable_uid(uid) else "",
            calling_ae_title=source.calling_ae_title,
            peer_address=source.peer_address,
            size=deposit.size,
            door=source.door.value,
        )
