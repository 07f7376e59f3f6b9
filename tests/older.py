"""Files of the spool as versions before BLAKE3 wrote them: SHA-256, under the key `sha256`."""

import json
import struct
from hashlib import sha256

from appliance.core.model import ReceivedInstance
from scp.head import identify
from scp.incoming import spool_name
from scp.spool import Spool

_GROUP = 144  # where the first element after the group's length begins
_PRIVATE = b"\x02\x00\x02\x01OB\0\0"  # (0002,0102), the last one


def made_older(spool: Spool, name: str) -> ReceivedInstance:
    """Put in place of a new entry the one that an older version had made of the same instance."""
    with spool.opened(name) as file:
        content, start = bytes(file.data), file.start
        identity = identify(content, start, file.received.transfer_syntax_uid)
    digest = sha256(content[start:]).hexdigest()
    older = spool_name(identity, digest)
    (spool.root / "new" / older).write_bytes(_head(content[:start], digest) + content[start:])
    spool.finish(name)
    return spool.read(older)


def _head(head: bytes, digest: str) -> bytes:
    at = head.index(_PRIVATE)
    private = {
        ("sha256" if key == "checksum" else key): (digest if key == "checksum" else value)
        for key, value in json.loads(head[at + 12 :]).items()
    }
    text = json.dumps(private).encode()
    text += b" " * (len(text) % 2)
    group = head[_GROUP:at] + _PRIVATE + struct.pack("<I", len(text)) + text
    return head[: _GROUP - 4] + struct.pack("<I", len(group)) + group
