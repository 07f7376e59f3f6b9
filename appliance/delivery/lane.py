"""One destination: claims what goes there, compares the identity, sends, asks for proof.

A resend is byte-identical: the file is compared with the SHA-256 of its row each time.
"""

import hashlib
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from appliance.core.clock import Clock
from appliance.core.crashpoints import CrashPoint, crash_point
from appliance.core.errors import (
    BadInstance,
    IllegalTransition,
    PeerError,
    PeerRefused,
    StaleClaim,
)
from appliance.core.log import Event, log_event
from appliance.core.model import Delivery
from appliance.core.states import DeliveryEvent
from appliance.delivery.options import CourierOptions, DestinationOptions, Verify
from results_store.store import Store

_AT_ONCE = 16  # deliveries in one step; then the courier looks at the world again

# The lease ran out, or a person asked for a resend, while the destination was being talked to.
_MOVED = (StaleClaim, IllegalTransition)

IDENTITY_CHANGED = "identity-changed"
EARLIER_IDENTITY = "made-under-an-earlier-identity"
FILE_CHANGED = "result-file-changed"
FILE_MISSING = "result-file-missing"


class Answer(Protocol):
    """What a destination said of one instance (PS3.4 B.2.3)."""

    @property
    def status(self) -> int:
        """Return the C-STORE status."""

    @property
    def accepted(self) -> bool:
        """Return whether it took the instance, with or without a warning."""

    @property
    def retry(self) -> bool:
        """Return whether the same may be accepted later, where it was not."""


class Archive(Protocol):
    """A destination, as `appliance.peers` reaches it."""

    def store(self, paths: Sequence[Path]) -> Sequence[Answer]:
        """Return one answer a path. Raises PeerError."""

    def has_instance(self, study: str, series: str, sop: str) -> bool:
        """Return whether the archive finds the instance. Raises PeerError."""


class NotFound(Enum):
    """What is no identity: the destination does not know the study (yet)."""

    NOT_FOUND = "not-found"


IdentityOf = Callable[[Delivery], str | NotFound | None]
"""The keyed hash of the patient whom the delivery's destination has for the study.

None where it has no usable ID.
"""


class Lane:
    """One destination's deliveries, one after another. Used by one thread at a time."""

    def __init__(
        self,
        destination: DestinationOptions,
        archive: Archive,
        *,
        options: CourierOptions,
        store: Store,
        identity_of: IdentityOf,
        clock: Clock,
    ) -> None:
        self._destination = destination
        self._archive = archive
        self._options = options
        self._deliveries = store.deliveries
        self._studies = store.studies
        self._identity_of = identity_of
        self._clock = clock
        self._rests_until: datetime | None = None
        self._failures = 0  # in a row; one study that fails by itself is not the destination
        self._looked: dict[int, int] = {}  # questions for proof that were answered with no

    def step(self) -> bool:
        """Send and prove what is due; return whether there may be more at once."""
        if self._rests_until is not None and self._clock.now() < self._rests_until:
            return False
        self._rests_until = None
        sent = self._send_due()
        self._prove_due()
        return sent == _AT_ONCE

    # -- send -----------------------------------------------------------------------------

    def _send_due(self) -> int:
        options = self._options
        for count in range(_AT_ONCE):
            if self._rests_until is not None:
                return count
            delivery = self._deliveries.claim(
                options.name,
                options.lease,
                self._clock.now(),
                destination=self._destination.name,
            )
            if delivery is None:
                return count
            crash_point(CrashPoint.DELIVERY_AFTER_CLAIM)
            self._deliver(delivery)
        return _AT_ONCE

    def _deliver(self, delivery: Delivery) -> None:
        try:
            self._settle(delivery)
        except _MOVED as error:
            _lost(delivery, error)

    def _settle(self, delivery: Delivery) -> None:
        try:
            held = self._reason_to_hold(delivery)
            if held:
                self._hold(delivery, held)
            else:
                self._send(delivery)
        except (PeerRefused, BadInstance) as error:
            self._give_up(delivery, str(error))
        except PeerError as error:
            self._rest(str(error))
            self._try_again(delivery, str(error))
        except OSError as error:
            self._try_again(delivery, f"its file cannot be read: {error.strerror}")

    def _reason_to_hold(self, delivery: Delivery) -> str:
        path = self._options.results / delivery.result.path
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except FileNotFoundError:
            return FILE_MISSING
        if digest != delivery.result.sha256:
            return FILE_CHANGED
        if self._studies.patient_changed(delivery.study_instance_uid, delivery.job_id):
            return EARLIER_IDENTITY  # whatever the destination knows: it may learn it from us
        if self._destination.check_identity and not self._is_same_patient(delivery):
            return IDENTITY_CHANGED
        return ""

    def _is_same_patient(self, delivery: Delivery) -> bool:
        """Return whether the study is still the patient's that it was when the images came.

        A destination that does not know the study can't contradict: the images may not have
        reached it yet, or it is no archive of images at all.
        """
        there = self._identity_of(delivery)
        return there is NotFound.NOT_FOUND or there == delivery.patient_key

    def _send(self, delivery: Delivery) -> None:
        start = self._clock.monotonic()
        (answer,) = self._archive.store([self._options.results / delivery.result.path])
        self._failures = 0
        crash_point(CrashPoint.DELIVERY_AFTER_SEND)
        if answer.accepted:
            # Proof may be there at once; `to_prove` finds it from now on.
            self._move(delivery, DeliveryEvent.ACCEPTED, not_before=self._clock.now())
            seconds = round(self._clock.monotonic() - start, 3)
            log_event(Event.RESULT_SENT, **_who(delivery), seconds=seconds)
            return
        # Its comment is not kept: archives quote patients in it.
        status = f"0x{answer.status:04X}" if answer.status >= 0 else "none"
        reason = f"{delivery.destination} did not take it; its status: {status}"
        if answer.retry:
            self._try_again(delivery, reason)
        else:
            self._give_up(delivery, reason)

    # -- prove ----------------------------------------------------------------------------

    def _prove_due(self) -> None:
        name = self._destination.name
        for delivery in self._deliveries.to_prove(self._clock.now(), destination=name):
            if self._rests_until is not None:
                return
            try:
                self._prove(delivery)
            except _MOVED as error:
                _lost(delivery, error)

    def _prove(self, delivery: Delivery) -> None:
        crash_point(CrashPoint.DELIVERY_BEFORE_PROOF)
        item, number = delivery.result, delivery.delivery_id
        try:
            # Without a way to prove it, its success status is taken as proof.
            found = self._destination.verify is Verify.NONE or self._archive.has_instance(
                delivery.study_instance_uid, item.series_instance_uid, item.sop_instance_uid
            )
            self._failures = 0
        except PeerError as error:
            # Behind the others: it may be this question alone that the destination fails at.
            later = self._clock.now() + self._options.prove.longest
            self._deliveries.look_again(number, later, f"cannot be asked for proof: {error}")
            if not isinstance(error, PeerRefused):
                self._rest(str(error))
            return
        if found:
            self._move(delivery, DeliveryEvent.PROVEN)
            self._looked.pop(number, None)
            log_event(Event.RESULT_DELIVERED, **_who(delivery))
        else:
            self._not_yet(delivery)

    def _not_yet(self, delivery: Delivery) -> None:
        """Ask again later; after the last question, send again."""
        number = delivery.delivery_id
        asked = self._looked.get(number, 0) + 1
        delay = self._options.prove.delay_after(asked)
        if delay is not None:
            self._looked[number] = asked
            self._deliveries.look_again(number, self._clock.now() + delay, "not found there yet")
            return
        self._looked.pop(number, None)
        reason = f"{delivery.destination} accepted it and does not hold it"
        again = self._destination.send.delay_after(delivery.attempt)
        if again is None:
            self._give_up(delivery, reason)
            return
        self._move(delivery, DeliveryEvent.MISSING, reason, not_before=self._clock.now() + again)
        log_event(Event.DELIVERY_RETRYING, level=logging.WARNING, **_who(delivery), reason=reason)

    # -- ends of an attempt -----------------------------------------------------------------

    def _try_again(self, delivery: Delivery, reason: str) -> None:
        delay = self._destination.send.delay_after(delivery.attempt)
        if delay is None:
            self._give_up(delivery, f"gave up after {delivery.attempt} attempts: {reason}")
            return
        later = self._clock.now() + delay
        self._move(delivery, DeliveryEvent.FAIL_TRANSIENT, reason, not_before=later)
        log_event(Event.DELIVERY_RETRYING, level=logging.WARNING, **_who(delivery), reason=reason)

    def _give_up(self, delivery: Delivery, reason: str) -> None:
        self._move(delivery, DeliveryEvent.FAIL_PERMANENT, reason)
        log_event(Event.DELIVERY_FAILED, level=logging.ERROR, **_who(delivery), reason=reason)

    def _hold(self, delivery: Delivery, reason: str) -> None:
        self._move(delivery, DeliveryEvent.HOLD, reason)
        log_event(Event.RESULT_HELD, level=logging.ERROR, **_who(delivery), reason=reason)

    def _rest(self, reason: str) -> None:
        """Leave the destination alone for a while: the next in the queue would wait in vain too.

        Longer each time in a row, whichever delivery it is; a delivery's own delay is its own.
        """
        self._failures += 1
        patient = replace(self._destination.send, attempts=sys.maxsize)
        delay = patient.delay_after(self._failures) or patient.longest
        self._rests_until = self._clock.now() + delay
        log_event(
            Event.PEER_UNREACHABLE,
            level=logging.WARNING,
            destination=self._destination.name,
            reason=reason,
        )

    def _move(
        self,
        delivery: Delivery,
        event: DeliveryEvent,
        reason: str = "",
        *,
        not_before: datetime | None = None,
    ) -> None:
        self._deliveries.move(
            delivery.delivery_id, self._options.name, event, reason, not_before, self._clock.now()
        )


def _lost(delivery: Delivery, error: Exception) -> None:
    """Tell that somebody else moved the delivery; what was sent twice is the same to the byte."""
    log_event(Event.DELIVERY_RETRYING, level=logging.WARNING, **_who(delivery), reason=str(error))


def _who(delivery: Delivery) -> dict[str, Any]:
    return {
        "delivery": delivery.delivery_id,
        "destination": delivery.destination,
        "job": delivery.job_id,
        "attempt": delivery.attempt,
        "study_instance_uid": delivery.study_instance_uid,
        "sop_instance_uid": delivery.result.sop_instance_uid,
    }
