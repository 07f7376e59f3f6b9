"""DicomClient: what the appliance asks of another node. PS3.4 annexes A, B and C."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)

from appliance.core.errors import PeerError, PeerRefused
from appliance.core.model import CommitmentReport
from appliance.core.uids import is_usable_uid
from appliance.peers.association import associated
from appliance.peers.commitment import report
from appliance.peers.node import DicomNode
from appliance.peers.retrieving import Progress, Retrieved, Shelf, Wanted, get, move
from appliance.peers.sending import StoreOutcome, send

_PENDING = (0xFF00, 0xFF01)
_REFUSED = (0x0122, 0x0124, 0xA900)  # no such service, not authorised, identifier not matching
_MAX_ANSWERS = 10_000  # of one query; more means that our key was not honoured


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyMatch:
    """Whose study a node says it is. Never logged. Empty text where the node says nothing."""

    study_instance_uid: str
    patient_id: str
    issuer_of_patient_id: str
    patient_name: str
    patient_birth_date: str
    accession_number: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyListing:
    """A study as a node lists it; nothing of the patient. -1 instances: it does not say."""

    study_instance_uid: str
    study_date: str
    study_time: str
    modalities: tuple[str, ...]
    instances: int


class DicomClient:
    """Asks one node; each call is one association.

    Every call raises PeerRefused where the node said no for good, and PeerError where trying
    again may help; the message names the node and what to check.
    """

    def __init__(self, node: DicomNode) -> None:
        self._node = node

    def echo(self) -> None:
        """Return if the node answers a C-ECHO with success."""
        with associated(self._node, [build_context(Verification)]) as association:
            status = association.send_c_echo().get("Status")
        if status != 0x0000:
            raise PeerError(f"{self._node} says to a C-ECHO: {_hex(status)}")

    def find_study(self, study_instance_uid: str) -> StudyMatch | None:
        """Return what the node knows of the study, or None where it has none of it."""
        keys = {
            "PatientID": "",
            "IssuerOfPatientID": "",
            "PatientName": "",
            "PatientBirthDate": "",
            "AccessionNumber": "",
            "StudyInstanceUID": _key(study_instance_uid),
        }
        found = {
            _study_match(answer)
            for answer in self._find("STUDY", keys)
            if _text(answer, "StudyInstanceUID") == study_instance_uid
        }
        if len(found) > 1:
            raise PeerError(f"{self._node} gives one study to different patients: look there")
        return next(iter(found), None)

    def list_studies(
        self,
        *,
        study_instance_uid: str = "",
        study_date: str = "",
        modality: str = "",
        study_description: str = "",
    ) -> tuple[StudyListing, ...]:
        """Return what the node has; empty keys match everything.

        `study_date` is a date or a range (PS3.4 C.2.2.2.5); the description may have * and ?.
        """
        keys = {
            "StudyInstanceUID": _key(study_instance_uid) if study_instance_uid else "",
            "StudyDate": study_date,
            "StudyTime": "",
            "ModalitiesInStudy": modality,
            "NumberOfStudyRelatedInstances": "",
        }
        if study_description:
            keys["StudyDescription"] = study_description
        listed = {one.study_instance_uid: one for one in map(_listing, self._find("STUDY", keys))}
        return tuple(
            one
            for uid, one in listed.items()
            if is_usable_uid(uid)
            and study_instance_uid in ("", uid)
            # Asked of a node that ignores the key, it is everything it has.
            and (not modality or not one.modalities or modality in one.modalities)
        )

    def sop_classes(self, study: str, series: str) -> Mapping[str, str]:
        """Return the SOP Class UID of each instance of a series; "" where it is not said."""
        keys = {
            "StudyInstanceUID": _key(study),
            "SeriesInstanceUID": _key(series),
            "SOPInstanceUID": "",
            "SOPClassUID": "",
        }
        return {
            sop: _text(answer, "SOPClassUID")
            for answer in self._find("IMAGE", keys)
            if (sop := _text(answer, "SOPInstanceUID"))
        }

    def move(self, wanted: Wanted, progress: Progress) -> Retrieved:
        """Let the node send the images to our receiver (C-MOVE); return when it has."""
        return move(self._node, wanted, progress)

    def get(
        self, wanted: Wanted, offer: Sequence[tuple[str, str]], shelf: Shelf, progress: Progress
    ) -> Retrieved:
        """Fetch the images into the shelf (C-GET); `offer`: SOP Classes, transfer syntaxes."""
        return get(self._node, wanted, offer, shelf, progress)

    def series_counts(self, study_instance_uid: str) -> Mapping[str, int | None]:
        """Return how many instances the node has of each series; None where it does not say."""
        keys = {
            "StudyInstanceUID": _key(study_instance_uid),
            "SeriesInstanceUID": "",
            "NumberOfSeriesRelatedInstances": "",
        }
        return {
            series: _count(answer, "NumberOfSeriesRelatedInstances")
            for answer in self._find("SERIES", keys)
            if (series := _text(answer, "SeriesInstanceUID"))
            and _text(answer, "StudyInstanceUID") in ("", study_instance_uid)
        }

    def has_instance(self, study: str, series: str, sop: str) -> bool:
        """Return whether the node holds the instance (given by its three UIDs)."""
        keys = {
            "StudyInstanceUID": _key(study),
            "SeriesInstanceUID": _key(series),
            "SOPInstanceUID": _key(sop),
        }
        # Compared, because a node that ignores the key answers with other instances.
        return any(_text(answer, "SOPInstanceUID") == sop for answer in self._find("IMAGE", keys))

    def store(self, paths: Sequence[Path]) -> tuple[StoreOutcome, ...]:
        """Send Part 10 files as they are; return one outcome a path, in their order."""
        return send(self._node, paths)

    def report_commitment(self, answer: CommitmentReport) -> None:
        """Give the node the answer to its storage commitment request."""
        report(self._node, answer)

    def _find(self, level: str, keys: Mapping[str, str]) -> list[Dataset]:
        identifier = Dataset()
        identifier.QueryRetrieveLevel = level
        for keyword, value in keys.items():
            setattr(identifier, keyword, value)
        model = StudyRootQueryRetrieveInformationModelFind
        answers: list[Dataset] = []
        with associated(self._node, [build_context(model)]) as association:
            for status, answer in association.send_c_find(identifier, model):
                code = status.get("Status")
                if code in _PENDING and answer is not None:
                    answers.append(answer)
                elif code not in _PENDING and code != 0x0000:
                    raise self._failure(code)
                if len(answers) > _MAX_ANSWERS:
                    raise PeerError(f"{self._node} answers a query with everything it has")
        return answers

    def _failure(self, code: int | None) -> PeerError:
        if code is None:
            return PeerError(
                f"{self._node} ends the association instead of answering a query: does it know "
                f"our AE title {self._node.calling_ae_title} and our address?"
            )
        kind = PeerRefused if code in _REFUSED else PeerError
        return kind(f"{self._node} answered a query with {_hex(code)}")


def _key(uid: str) -> str:
    """Return the UID; no wildcard and no list of UIDs may become a key."""
    if not is_usable_uid(uid):
        raise ValueError("not a UID")
    return uid


def _text(answer: Dataset, keyword: str) -> str:
    value = answer.get(keyword)
    return "" if value is None else str(value).strip("\0 ")


def _count(answer: Dataset, keyword: str) -> int | None:
    text = _text(answer, keyword)
    return int(text) if text.isascii() and text.isdigit() else None


def _listing(answer: Dataset) -> StudyListing:
    count = _count(answer, "NumberOfStudyRelatedInstances")
    modalities = answer.get("ModalitiesInStudy") or ()
    return StudyListing(
        study_instance_uid=_text(answer, "StudyInstanceUID"),
        study_date=_text(answer, "StudyDate"),
        study_time=_text(answer, "StudyTime"),
        modalities=(modalities,) if isinstance(modalities, str) else tuple(map(str, modalities)),
        instances=-1 if count is None else count,
    )


def _study_match(answer: Dataset) -> StudyMatch:
    return StudyMatch(
        study_instance_uid=_text(answer, "StudyInstanceUID"),
        patient_id=_text(answer, "PatientID"),
        issuer_of_patient_id=_text(answer, "IssuerOfPatientID"),
        patient_name=_text(answer, "PatientName"),
        patient_birth_date=_text(answer, "PatientBirthDate"),
        accession_number=_text(answer, "AccessionNumber"),
    )


def _hex(status: int | None) -> str:
    return "no answer" if status is None else f"status {status:04X}"
