"""Other DICOM nodes, as rooms ask for them."""

from collections.abc import Callable, Mapping

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
