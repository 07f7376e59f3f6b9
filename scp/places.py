"""Who may hold a connection before it has said who it is.

Connections are counted apart from associations: a few more than the site allows are taken, so
that their callers are told. Addresses that no peer has share a few places among them: they are
told why they may not associate, and however many connections they open and say nothing on,
peers find room.
"""

from collections import Counter

from scp.association import Refusal, is_within
from scp.options import ReceiverOptions

_BEYOND = 16  # connections above the associations that may be: they are told so
_BEYOND_OF_ONE = 8
_OF_STRANGERS = 16
_STRANGER = "stranger"  # in place of the address


class Places:
    """The open connections of one process, by address; the caller keeps threads apart."""

    def __init__(self, options: ReceiverOptions) -> None:
        self._networks = tuple(net for peer in options.peers for net in peer.networks)
        self._has_strangers = not options.accept_unknown_peers
        self._most = options.max_associations + _BEYOND
        self._most_of_one = options.max_associations_per_peer + _BEYOND_OF_ONE
        self._taken: Counter[str] = Counter()

    def take(self, address: str) -> Refusal | None:
        """Count a connection, or return why it would be one too many."""
        who = self._who(address)
        if who == _STRANGER:
            if self._taken[who] >= _OF_STRANGERS:
                return Refusal.PEER_LIMIT
        elif self._taken.total() - self._taken[_STRANGER] >= self._most:
            return Refusal.LIMIT
        elif self._taken[who] >= self._most_of_one:
            return Refusal.PEER_LIMIT
        self._taken[who] += 1
        return None

    def give_back(self, address: str) -> None:
        """Count one less."""
        self._taken[self._who(address)] -= 1
        self._taken += Counter()  # drops who has none, so that addresses do not pile up

    def _who(self, address: str) -> str:
        is_stranger = self._has_strangers and not is_within(address, self._networks)
        return _STRANGER if is_stranger else address
