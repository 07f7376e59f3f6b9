"""Other DICOM nodes, as rooms ask for them."""

from collections.abc import Callable, Mapping

from appliance.core.model import CommitmentReport
from appliance.core.tls import TlsFiles
from appliance.peers import DicomClient, DicomNode, NodeTls
from appliance.settings.model import Settings
from appliance.settings.tls import NodeTlsSettings


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
            tls=tls_of(destination.tls),
        )
    )


def commitment_reports(settings: Settings) -> Mapping[str, Callable[[CommitmentReport], None]]:
    """Return, for each peer that may ask for storage commitment, how it gets the answer."""
    names = {destination.ae_title: name for name, destination in settings.destinations.items()}
    found = {}
    for peer in settings.receiver.peers:
        if not peer.commitment:
            continue
        if peer.reports_to is None:
            client = client_of(settings, names[peer.ae_title])
        else:
            client = DicomClient(
                DicomNode(
                    name=f"peer {peer.ae_title}",
                    ae_title=peer.ae_title,
                    host=peer.reports_to.host,
                    port=peer.reports_to.port,
                    calling_ae_title=settings.appliance.ae_title,
                )
            )
        found[peer.ae_title] = client.report_commitment
    return found


def tls_of(tls: NodeTlsSettings | None) -> NodeTls | None:
    """Return what an association to a node is told of TLS."""
    if tls is None:
        return None
    files = TlsFiles(certificate=tls.certificate, key=tls.key, trusted=tls.ca)
    return NodeTls(files=files, name=tls.name)


def series_counts(settings: Settings) -> Mapping[str, Callable[[str], Mapping[str, int | None]]]:
    """Return, for each destination that a route asks, how to ask it."""
    asked = {r.complete.query for r in settings.routes if r.complete.query is not None}
    return {name: client_of(settings, name).series_counts for name in asked}
