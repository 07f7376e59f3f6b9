"""Every outgoing association. Decides nothing: only asks and sends.

node.py         DicomNode: where a node is and how patient we are
tls.py          TLS to it
association.py  an association to it, and in plain words why there is none
status.py       what answers to C-STORE, C-MOVE and C-GET mean
sending.py      C-STORE of files, their data sets byte for byte
retrieving.py   C-MOVE and C-GET, data sets byte for byte
commitment.py   N-EVENT-REPORT of a storage commitment request
client.py       DicomClient: what can be asked of a node
"""

from appliance.peers.client import DicomClient, StudyMatch
from appliance.peers.node import DicomNode
from appliance.peers.sending import StoreOutcome
from appliance.peers.tls import NodeTls

__all__ = ["DicomClient", "DicomNode", "NodeTls", "StoreOutcome", "StudyMatch"]
