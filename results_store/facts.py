"""What the index is told of an instance beyond its file meta."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceFacts:
    """What the index needs to know of an instance beyond its file meta."""

    modality: str
    number_of_frames: int
    accession_number: str | None
    study_date: str | None  # as received
    study_time: str | None  # as received
    patient_key: str | None  # keyed hash; None for an empty or placeholder PatientID
    is_own: bool  # the object itself says that an appliance made it
    patient_id_key: str | None = None  # keyed hash of the PatientID alone, whoever issued it
    person_key: str | None = None  # keyed hash of name, birth date and sex

    def identity(self) -> dict[str, str | None]:
        """Return whose and of which study the instance says it is, by column name.

        The same date or time in another form (with dots, colons, or to the second) is the same.
        """
        return {
            "patient_key": self.patient_key or None,
            "patient_id_key": self.patient_id_key or None,
            "person_key": self.person_key or None,
            "accession_number": self.accession_number or None,
            "study_date": (self.study_date or "").replace(".", "") or None,
            "study_time": _to_the_second(self.study_time or "") or None,
        }

    def identity_digest(self) -> str:
        """Return a digest that is the same for the same identity only."""
        said = "\x1f".join(value or "" for value in self.identity().values())
        return hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()


def _to_the_second(time: str) -> str:
    """Return a DICOM time (PS3.5 section 6.2, TM) without fractions, its missing parts as 0."""
    plain = time.replace(":", "").partition(".")[0]
    return plain and plain.ljust(6, "0")
