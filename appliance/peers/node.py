"""Where a DICOM node is and what we call ourselves to it."""

from dataclasses import dataclass
from datetime import timedelta

from appliance.peers.tls import NodeTls


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomNode:
    """A destination or source. `name` is the site's word for it and stands in every message."""

    name: str
    ae_title: str
    host: str
    port: int
    calling_ae_title: str
    timeout: timedelta = timedelta(seconds=30)
    tls: NodeTls | None = None

    def __str__(self) -> str:
        return f"{self.name} ({self.ae_title} at {self.host}:{self.port})"
