"""How many images the series of a study have elsewhere: asked rarely, never needed."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from appliance.core.errors import PeerError
from appliance.core.log import Event, log_event

SeriesCounts = Callable[[str], Mapping[str, int | None]]
"""Study Instance UID → number of instances by Series Instance UID. Raises PeerError."""

_MOST = 1000  # studies whose counts are remembered


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What a peer said, or that it said nothing."""

    by_series: Mapping[str, int | None]
    asked_at: datetime
    answered: bool


class Counting:
    """Asks peers by name; the same study at most once in `every`."""

    def __init__(self, peers: Mapping[str, SeriesCounts], every: timedelta) -> None:
        self._peers = peers
        self._every = every
        self._known: dict[tuple[str, str], Counted] = {}

    def ask(self, peer: str, study_instance_uid: str, now: datetime) -> Counted:
        """Return what the peer says of the study, or said a moment ago."""
        key = (peer, study_instance_uid)
        known = self._known.get(key)
        if known is None or now - known.asked_at >= self._every:
            known = self._ask(peer, study_instance_uid, now)
            self._known.pop(key, None)
            self._known[key] = known
            if len(self._known) > _MOST:
                del self._known[next(iter(self._known))]
        return known

    def _ask(self, peer: str, study_instance_uid: str, now: datetime) -> Counted:
        try:
            found = self._peers[peer](study_instance_uid)
        except PeerError as error:
            log_event(
                Event.PEER_UNREACHABLE,
                level=logging.WARNING,
                destination=peer,
                study_instance_uid=study_instance_uid,
                reason=str(error),
            )
            return Counted(by_series={}, asked_at=now, answered=False)
        return Counted(by_series=found, asked_at=now, answered=True)
