"""Other DICOM nodes, as rooms ask for them."""

from collections.abc import Callable, Mapping
from functools import partial

from appliance.intake.patient import patient_key
from appliance.peers import DicomClient, DicomNode
from appliance.settings.model import Settings


def client_of(settings: Settings, name: str) -> DicomClient:
    """Return the client of the destination `name`, which the settings have."""
    destination = settings.destinations[name]
    return DicomClient(
        DicomNode(
            name=name,
            ae_title=destination.ae_title,
            host=destination.address.host,
            port=destination.address.port,
            calling_ae_title=settings.appliance.ae_title,
            timeout=destination.timeout,
        )
    )


def series_counts(settings: Settings) -> Mapping[str, Callable[[str], Mapping[str, int | None]]]:
    """Return, for each destination that a route asks, how to ask it."""
    asked = {r.complete.query for r in settings.routes if r.complete.query is not None}
    return {name: client_of(settings, name).series_counts for name in asked}


def identities(settings: Settings, key: bytes) -> Mapping[str, Callable[[str], str | None]]:
    """Return, for each destination that is asked, whose study it thinks a Study UID is.

    The answer is the keyed hash as the store keeps it. Raises PeerError; StudyUnknown where the
    destination has no such study.
    """
    return {
        name: partial(_identity, client_of(settings, name), key)
        for name, destination in settings.destinations.items()
        if destination.check_identity
    }


def _identity(client: DicomClient, key: bytes, study_instance_uid: str) -> str | None:
    match = client.find_study(study_instance_uid)
    if match is None:
        return None
    return patient_key(key, match.patient_id, match.issuer_of_patient_id)
