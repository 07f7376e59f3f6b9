"""What rooms need from outside without knowing who gives it."""

from enum import StrEnum
from typing import Protocol

from appliance.core.model import ReceivedInstance


class Role(StrEnum):
    """A process of the appliance; also the name under which it can be woken."""

    RECEIVE = "receive"
    ORCHESTRATE = "orchestrate"
    WORK = "work"
    DELIVER = "deliver"
    WEB = "web"
    SCHEDULE = "schedule"


class InstanceSink(Protocol):
    """Told of every instance that has an entry in the spool, of several at once where they come so.

    The spool entry is the hand-over; this call is a hint that may get lost.
    """

    def received(self, *instances: ReceivedInstance) -> None: ...


class Wakeup(Protocol):
    """Tells another process that there may be work. May get lost; a 1 s poll is the net."""

    def wake(self, role: Role) -> None: ...
