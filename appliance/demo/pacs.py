"""A stand-in PACS on loopback: stock pynetdicom, so that the demo does not test us with ourselves.

It stores what it is sent as files, answers C-ECHO and C-FIND (study, series and image level), and
keeps apart what the demo put there first from what arrived afterwards.
"""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)

AE_TITLE = "DEMOPACS"
_SUCCESS, _PENDING, _CANNOT_UNDERSTAND = 0x0000, 0xFF00, 0xC000
_KEYS = {
    "STUDY": ("StudyInstanceUID",),
    "SERIES": ("StudyInstanceUID", "SeriesInstanceUID"),
    "IMAGE": ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One object that the PACS holds."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    series_description: str
    patient_id: str
    issuer_of_patient_id: str
    accession_number: str
    path: Path


class StandInPacs:
    """Start it with a folder; read `held` at any time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._held: dict[str, Held] = {}
        ae = AE(ae_title=AE_TITLE)
        ae.maximum_associations = 32
        for context in AllStoragePresentationContexts:
            ae.add_supported_context(context.abstract_syntax, ALL_TRANSFER_SYNTAXES)
        ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
        ae.add_supported_context(Verification)
        self._ae = ae
        self._server = ae.start_server(
            ("127.0.0.1", 0),
            block=False,
            evt_handlers=[(evt.EVT_C_STORE, self._store), (evt.EVT_C_FIND, self._find)],
        )
        self.port: int = self._server.socket.getsockname()[1]

    @property
    def held(self) -> tuple[Held, ...]:
        """Everything stored, in the order of arrival."""
        with self._lock:
            return tuple(self._held.values())

    def stop(self) -> None:
        """Close the port and every association."""
        self._server.shutdown()

    def _store(self, event: evt.Event) -> int:
        dataset = event.dataset
        uid = str(dataset.SOPInstanceUID)
        # Named by a hash: a UID from the network makes no file name.
        path = self._folder / f"{hashlib.sha256(uid.encode()).hexdigest()[:32]}.dcm"
        path.write_bytes(event.encoded_dataset())
        with self._lock:
            self._held[uid] = Held(
                study_instance_uid=str(dataset.StudyInstanceUID),
                series_instance_uid=str(dataset.SeriesInstanceUID),
                sop_instance_uid=uid,
                sop_class_uid=str(dataset.SOPClassUID),
                series_description=str(dataset.get("SeriesDescription", "")),
                patient_id=str(dataset.get("PatientID", "")),
                issuer_of_patient_id=str(dataset.get("IssuerOfPatientID", "")),
                accession_number=str(dataset.get("AccessionNumber", "")),
                path=path,
            )
        return _SUCCESS

    def _find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        query = event.identifier
        level = str(query.get("QueryRetrieveLevel", ""))
        if level not in _KEYS:
            yield _CANNOT_UNDERSTAND, None
            return
        wanted = {key: str(query.get(key, "")) for key in _KEYS[level]}
        groups: dict[tuple[str, ...], list[Held]] = {}
        for held in self.held:
            values = _uids(held)
            if all(not text or values[key] == text for key, text in wanted.items()):
                groups.setdefault(tuple(values[key] for key in wanted), []).append(held)
        for group in groups.values():
            yield _PENDING, _match(level, group)


def _uids(held: Held) -> dict[str, str]:
    return {
        "StudyInstanceUID": held.study_instance_uid,
        "SeriesInstanceUID": held.series_instance_uid,
        "SOPInstanceUID": held.sop_instance_uid,
    }


def _match(level: str, group: list[Held]) -> Dataset:
    first = group[0]
    match = Dataset()
    match.QueryRetrieveLevel = level
    for key in _KEYS[level]:
        setattr(match, key, _uids(first)[key])
    if level == "STUDY":
        match.PatientID = first.patient_id
        match.IssuerOfPatientID = first.issuer_of_patient_id
        match.AccessionNumber = first.accession_number
    if level == "SERIES":
        match.NumberOfSeriesRelatedInstances = len(group)
    return match
