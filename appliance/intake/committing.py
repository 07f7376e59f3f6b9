"""What is true of the instances that a storage commitment request names. PS3.4 annex J.

Looked up anew each time: rows of the index, and the files themselves against their checksums.
What is committed is kept from deletion first, and compared and said then.
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import datetime

from appliance.core.clock import Clock
from appliance.core.errors import BadInstance
from appliance.core.model import CommitmentFailure, CommitmentReport, SopReference
from appliance.intake.options import CommitmentOptions
from results_store.keeping import HeldInstance
from results_store.store import Store
from scp.commitment import CommitmentRequest
from scp.integrity import is_sound
from scp.spool import Spool

Held = Mapping[str, Sequence[HeldInstance]]
"""Files by SOP Instance UID."""


class Committing:
    """Judges requests. Safe in several threads."""

    def __init__(
        self, options: CommitmentOptions, store: Store, spool: Spool, clock: Clock
    ) -> None:
        self._options = options
        self._store = store
        self._spool = spool
        self._clock = clock

    def answer(self, request: CommitmentRequest, received_at: datetime) -> CommitmentReport | None:
        """Return the answer, or None: instances may be on their way. Raises StoreError."""
        references = tuple(dict.fromkeys(request.references))  # one that stands twice counts once
        held: dict[str, list[HeldInstance]] = defaultdict(list)
        for file in self._store.keeping.held([r.sop_instance_uid for r in references]):
            held[file.sop_instance_uid].append(file)
        is_all = all(reference.sop_instance_uid in held for reference in references)
        if not is_all and self._may_come(received_at):
            return None
        files = [file for one in held.values() for file in one]
        kept = self._store.keeping.keep(files, self._clock.now() + self._options.keep)
        good = {f.spool_name for f in files if f.spool_name in kept and self._is_whole(f)}
        return judge(request.transaction_uid, references, held, good)

    def _may_come(self, received_at: datetime) -> bool:
        """Return whether what is missing may be received or indexed yet."""
        waited = self._clock.now() - received_at
        if waited < self._options.wait:
            return True
        return waited < self._options.wait_for_index and bool(self._spool.new_entries())

    def _is_whole(self, file: HeldInstance) -> bool:
        """Return whether the file is on the disk, with the bytes that were received."""
        try:
            return is_sound(self._spool.path(file.spool_name), file.checksum)
        except (BadInstance, OSError):
            return False


def judge(
    transaction_uid: str, references: Iterable[SopReference], held: Held, good: Container[str]
) -> CommitmentReport:
    """Return the answer; `good` has the names of the files that are whole and stay.

    Where an instance has several versions, each must be good: which one the peer has is not known.
    """
    committed: list[SopReference] = []
    failed: list[tuple[SopReference, CommitmentFailure]] = []
    for reference in references:
        files = held.get(reference.sop_instance_uid, ())
        if not files:
            failed.append((reference, CommitmentFailure.NO_SUCH_INSTANCE))
        elif any(file.sop_class_uid != reference.sop_class_uid for file in files):
            failed.append((reference, CommitmentFailure.CLASS_CONFLICT))
        elif any(file.spool_name not in good for file in files):
            failed.append((reference, CommitmentFailure.PROCESSING_FAILURE))
        else:
            committed.append(reference)
    return CommitmentReport(
        transaction_uid=transaction_uid, committed=tuple(committed), failed=tuple(failed)
    )
