"""The checksum of a received data set, and the only place that knows how it is made.

Its text is `blake3:` and 64 hexadecimal digits. BLAKE3 takes a quarter of SHA-256's time, and
like there nobody can make two data sets that share one: duplicates are told by it. Bare digits
are SHA-256: files and rows of earlier versions have it, and are compared with it for good.
"""

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Protocol

from blake3 import blake3

from appliance.core.errors import BadInstance
from scp.head import Buffer


class _Hasher(Protocol):
    def update(self, data: Buffer, /) -> object: ...

    def hexdigest(self) -> str: ...


_OURS = "blake3:"
_MADE_BY: Mapping[str, Callable[[], _Hasher]] = {_OURS: blake3, "": sha256}  # by what is in front

NONE = _OURS + "0" * 64
"""Stands where the checksum is not known yet."""


class Checksum:
    """The checksum of bytes as they come, made as `like` was. Raises BadInstance if unknown."""

    def __init__(self, like: str = NONE) -> None:
        self._in_front = like[: like.rfind(":") + 1]
        made_by = _MADE_BY.get(self._in_front)
        if made_by is None:
            raise BadInstance("its checksum is of a kind that this version does not know")
        self._hasher = made_by()

    def update(self, data: Buffer) -> None:
        """Take the next bytes."""
        self._hasher.update(data)

    @property
    def text(self) -> str:
        """Return the checksum of all bytes so far."""
        return self._in_front + self._hasher.hexdigest()


def matches(known: str, data: Buffer) -> bool:
    """Return whether `known` is the checksum of these bytes. Raises BadInstance as above."""
    checksum = Checksum(like=known)
    checksum.update(data)
    return checksum.text == known
