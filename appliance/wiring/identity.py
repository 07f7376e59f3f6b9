"""Who the patient of an image is, as its header says. For hashing and comparing, never to keep."""

from pathlib import Path

import pydicom

_KEYWORDS = ("PatientID", "IssuerOfPatientID")


def patient_identity(path: Path) -> tuple[str, str]:
    """Return PatientID and its issuer; "" for what the header does not say."""
    dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_KEYWORDS))
    patient_id, issuer = (str(dataset.get(keyword) or "").strip(" \0") for keyword in _KEYWORDS)
    return patient_id, issuer
