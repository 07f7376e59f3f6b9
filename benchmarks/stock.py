"""Stock pynetdicom as a receiver, as its documentation has it: `python -m benchmarks.stock PORT`.

It writes what it gets into the working folder, without decoding (the quicker of the two ways
that the documentation shows). Both ends have TCP_NODELAY, or each answer waits for an ACK.
"""

import sys
from pathlib import Path
from socket import IPPROTO_TCP, TCP_NODELAY
from typing import Any

from pynetdicom import AE, AllStoragePresentationContexts, evt


def handle_open(event: Any) -> None:
    """Send answers at once."""
    event.assoc.dul.socket.socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)


def handle_store(event: Any) -> int:
    """Write the instance as a file."""
    with Path(event.request.AffectedSOPInstanceUID).open("wb") as file:
        file.write(event.encoded_dataset())
    return 0x0000


if __name__ == "__main__":
    entity = AE("APPLIANCE")
    entity.maximum_associations = 64
    entity.maximum_pdu_size = 131_072
    entity.supported_contexts = AllStoragePresentationContexts
    handlers = [(evt.EVT_C_STORE, handle_store), (evt.EVT_CONN_OPEN, handle_open)]
    entity.start_server(("127.0.0.1", int(sys.argv[1])), evt_handlers=handlers)
