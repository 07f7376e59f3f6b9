"""Every outgoing association: C-ECHO, C-FIND, C-STORE. Decides nothing, only asks and sends.

node.py    DicomNode: where a peer is and how patient we are
client.py  DicomClient: what can be asked of it
status.py  what the answers to a C-STORE mean (PS3.4 B.2.3)
"""

from appliance.peers.client import DicomClient, StudyMatch
from appliance.peers.node import DicomNode
from appliance.peers.status import StoreOutcome

__all__ = ["DicomClient", "DicomNode", "StoreOutcome", "StudyMatch"]
