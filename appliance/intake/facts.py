"""From a header to what the index is told of an instance."""

from functools import lru_cache

from appliance.intake.headers import Header
from appliance.intake.patient import patient_key, person_key
from results_store.facts import InstanceFacts

_LONGEST_ACCESSION_NUMBER = 64  # SH has 16; a longer one is cut, as it cannot be searched for
_PATIENTS = 1000  # whose keys are remembered


class FactsOf:
    """Makes facts of headers. `key` hashes patients' attributes, which are kept nowhere."""

    def __init__(self, key: bytes) -> None:
        self._patient_key = lru_cache(_PATIENTS)(lambda *said: patient_key(key, *said))
        self._person_key = lru_cache(_PATIENTS)(lambda *said: person_key(key, *said))

    def __call__(self, header: Header) -> InstanceFacts:
        """Return the facts."""
        patient, issuer = header.patient_id, header.issuer_of_patient_id
        return InstanceFacts(
            modality=header.text("Modality"),
            number_of_frames=header.summary.number_of_frames,
            accession_number=header.accession_number[:_LONGEST_ACCESSION_NUMBER] or None,
            study_date=header.text("StudyDate") or None,
            study_time=header.text("StudyTime") or None,
            patient_key=self._patient_key(patient, issuer),
            patient_id_key=self._patient_key(patient, ""),
            person_key=self._person_key(
                header.patient_name, header.patient_birth_date, header.patient_sex
            ),
            is_own=header.is_own,  # the store also knows our objects by their UID
        )
