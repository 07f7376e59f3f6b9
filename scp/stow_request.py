"""The parts of one STOW-RS request on their way into the spool; called in a worker thread."""

from collections.abc import Mapping
from dataclasses import dataclass

from appliance.core.uids import is_usable_uid
from scp.deposit import Depot, Source
from scp.multipart import MultipartReader
from scp.part10 import Part10File
from scp.status import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of one part; UIDs as it claimed them."""

    outcome: Outcome
    sop_class_uid: str
    sop_instance_uid: str

    @property
    def is_named(self) -> bool:
        """Return whether an answer can name the instance."""
        return is_usable_uid(self.sop_class_uid) and is_usable_uid(self.sop_instance_uid)


class StowRequest:
    """One request."""

    def __init__(self, depot: Depot, source: Source, boundary: str, *, most_parts: int) -> None:
        self._depot = depot
        self._source = source
        self._reader = MultipartReader(boundary, self._begin, most_parts=most_parts)
        self._taken: list[Taken] = []
        self._open: _FilePart | None = None

    def feed(self, piece: bytes) -> None:
        """Take a piece of the body. Raises MalformedBody."""
        self._reader.feed(piece)

    def end(self) -> tuple[Taken, ...]:
        """Return what became of each part, in order. Raises MalformedBody."""
        self._reader.end()
        return tuple(self._taken)

    def discard(self) -> None:
        """Keep nothing of a part that did not come to its end."""
        if self._open is not None:
            self._open.file.discard()
            self._open = None

    def _begin(self, headers: Mapping[str, str]) -> "_FilePart | _OtherPart":
        kind = headers.get("content-type", "application/dicom").partition(";")[0].strip().lower()
        coding = headers.get("content-transfer-encoding", "binary").strip().lower()
        if kind != "application/dicom" or coding not in ("binary", "8bit"):
            return _OtherPart(self._taken)
        self._open = _FilePart(Part10File(self._depot, self._source), self)
        return self._open

    def take(self, part: "_FilePart") -> None:
        """Note what became of a part that is whole."""
        claimed = part.file.claimed
        self._open = None
        self._taken.append(
            Taken(
                outcome=part.file.finish(),
                sop_class_uid=claimed.sop_class_uid,
                sop_instance_uid=claimed.sop_instance_uid,
            )
        )


class _FilePart:
    """A part that is a DICOM file."""

    def __init__(self, file: Part10File, request: StowRequest) -> None:
        self.file = file
        self.write = file.write
        self._request = request

    def end(self) -> None:
        """Keep the file, or refuse it."""
        self._request.take(self)


class _OtherPart:
    """A part of another kind, of which nothing is kept."""

    def __init__(self, taken: list[Taken]) -> None:
        self._taken = taken

    def write(self, piece: bytes) -> None:
        """Throw the piece away."""

    def end(self) -> None:
        """Note that it was refused."""
        self._taken.append(Taken(outcome=Outcome.NOT_DICOM, sop_class_uid="", sop_instance_uid=""))
