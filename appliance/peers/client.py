"""What we ask of a DICOM node. Answers are believed only where they are about what was asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pynetdicom import _config, build_context
from pynetdicom.association import Association
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind, Verification

from appliance.core.errors import PeerError, PeerRefused
from appliance.peers.node import DicomNode, association
from appliance.peers.status import NO_ANSWER, NO_CONTEXT, StoreOutcome, outcome

# Files are sent from disk byte for byte: a resend is the same, and nothing is encoded again.
_config.STORE_SEND_CHUNKED_DATASET = True

_PENDING = (0xFF00, 0xFF01)
_SUCCESS = 0x0000
_NOT_SUPPORTED = range(0xA900, 0xAA00)
_MOST_MATCHES = 10_000  # of one query; more is no answer to what we ask


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyMatch:
    """Whose study the peer thinks it is. Patient attributes: for comparing, never for a log."""

    patient_id: str
    issuer_of_patient_id: str
    accession_number: str


class DicomClient:
    """One peer. Every call makes an association of its own; threads may share a client."""

    def __init__(self, node: DicomNode) -> None:
        self._node = node

    def echo(self) -> None:
        """Return if the peer answers a C-ECHO with success. Raises PeerError."""
        with association(self._node, [build_context(Verification)]) as assoc:
            status = assoc.send_c_echo()
        if not status or status.Status != _SUCCESS:
            raise PeerError(f"{self._node} does not answer a C-ECHO with success")

    def find_study(self, study_instance_uid: str) -> StudyMatch | None:
        """Return whose study it is there, or None where the peer does not know it.

        Raises PeerError.
        """
        keys = {
            "StudyInstanceUID": study_instance_uid,
            "PatientID": "",
            "IssuerOfPatientID": "",
            "AccessionNumber": "",
        }
        for match in self._find("STUDY", keys, ("StudyInstanceUID",)):
            return StudyMatch(
                patient_id=_text(match, "PatientID"),
                issuer_of_patient_id=_text(match, "IssuerOfPatientID"),
                accession_number=_text(match, "AccessionNumber"),
            )
        return None

    def series_counts(self, study_instance_uid: str) -> Mapping[str, int | None]:
        """Return how many instances each series has there; None where the peer does not count.

        Raises PeerError.
        """
        keys = {
            "StudyInstanceUID": study_instance_uid,
            "SeriesInstanceUID": "",
            "NumberOfSeriesRelatedInstances": None,
        }
        matches = self._find("SERIES", keys, ("StudyInstanceUID",))
        return {_text(m, "SeriesInstanceUID"): _count(m) for m in matches}

    def has_instance(self, study: str, series: str, sop: str) -> bool:
        """Return whether the peer finds this instance. Raises PeerError."""
        keys = {"StudyInstanceUID": study, "SeriesInstanceUID": series, "SOPInstanceUID": sop}
        return bool(self._find("IMAGE", keys, tuple(keys)))

    def store(self, paths: Sequence[Path]) -> tuple[StoreOutcome, ...]:
        """Send Part 10 files in one association, each byte for byte; return one outcome a path.

        Raises PeerError where no association can be had.
        """
        kinds = [_kind(path) for path in paths]
        contexts = [build_context(*kind) for kind in dict.fromkeys(kinds)]
        with association(self._node, contexts) as assoc:
            return tuple(_store(assoc, path) for path in paths)

    def _find(
        self, level: str, keys: Mapping[str, str | None], must_equal: Sequence[str]
    ) -> list[Dataset]:
        """Return the matches that are about what was asked; some archives ignore unknown keys."""
        query = Dataset()
        query.QueryRetrieveLevel = level
        for keyword, value in keys.items():
            setattr(query, keyword, value)
        model = StudyRootQueryRetrieveInformationModelFind
        matches: list[Dataset] = []
        with association(self._node, [build_context(model)]) as assoc:
            for status, match in assoc.send_c_find(query, model):
                self._check(status)
                if match is not None and len(matches) < _MOST_MATCHES:
                    matches.append(match)
        return [m for m in matches if all(_text(m, key) == keys[key] for key in must_equal)]

    def _check(self, status: Dataset) -> None:
        if not status:
            raise PeerError(f"{self._node} does not answer a C-FIND in time")
        if status.Status in _NOT_SUPPORTED:
            raise PeerRefused(f"{self._node} cannot answer our C-FIND ({status.Status:04X}H)")
        if status.Status not in (*_PENDING, _SUCCESS):
            raise PeerError(f"{self._node} answers a C-FIND with {status.Status:04X}H")


def _kind(path: Path) -> tuple[str, str]:
    """Return SOP class and transfer syntax of a file of ours. Raises PeerRefused."""
    try:
        meta = dcmread(path, stop_before_pixels=True, specific_tags=[]).file_meta
        return str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID)
    except (InvalidDicomError, AttributeError) as error:
        raise PeerRefused(f"{path.name} is no DICOM file that can be sent: {error}") from None


def _store(assoc: Association, path: Path) -> StoreOutcome:
    if not assoc.is_established:
        return outcome(NO_ANSWER)
    try:
        answer = assoc.send_c_store(path)
    except ValueError:  # what pynetdicom raises where no accepted context fits
        return outcome(NO_CONTEXT)
    if not answer:
        return outcome(NO_ANSWER)
    return outcome(answer.Status, str(answer.get("ErrorComment", "")))


def _text(match: Dataset, keyword: str) -> str:
    value = match.get(keyword)
    return "" if value is None else str(value).strip(" \0")


def _count(match: Dataset) -> int | None:
    text = _text(match, "NumberOfSeriesRelatedInstances")
    return int(text) if text.isdigit() else None
