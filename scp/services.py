"""What a peer may ask besides storing and echoing: the seam for DIMSE-N services.

A service answers from its own options and from the files of the spool, never from the database:
receiving goes on while that is down. What it accepts it first makes durable.
"""

from dataclasses import dataclass
from typing import Protocol

from scp.association import Caller
from scp.command import Command

LONGEST_DATA_SET = 4 * 1024**2  # bytes; held in memory, so bounded


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One request with all that is known of it."""

    caller: Caller
    command: Command
    transfer_syntax_uid: str
    data_set: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The answer to a request: a status (PS3.7 annex C) and an Error Comment (0000,0902).

    `sop_instance_uid` is for an N-CREATE that left it to us to name the instance; `error_id` is
    the Error ID (0000,0903) where a service class defines one.
    """

    status: int
    comment: str = ""
    sop_instance_uid: str = ""
    error_id: int | None = None


class Service(Protocol):
    """Some SOP Classes and the operations on them. Called in several threads at once."""

    sop_class_uids: tuple[str, ...]
    operations: frozenset[int]  # command fields of requests

    def answer(self, message: Message) -> Reply:
        """Return the reply when what it promises is durable. Raises OSError of the disk."""
        ...
