"""A rule by which studies are fetched without being asked for, where an archive cannot route.

One round: ask what there is (C-FIND), leave out what was fetched and what still grows, fetch a few
of the rest, the oldest first. What was fetched is remembered in the store; what is remembered here
alone only costs a round at a restart.
"""

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import datetime, timedelta, tzinfo
from typing import Protocol

from appliance.core.clock import Clock
from appliance.core.errors import PeerError
from appliance.core.log import Event, log_event
from appliance.doors.fetch import FetchProgress, FetchReport, Stopped
from appliance.doors.options import PollRule
from appliance.peers.client import StudyListing
from results_store.fetches import Fetch, Fetches, FetchOutcome


class ListsStudies(Protocol):
    """What is asked of a node."""

    def list_studies(
        self, *, study_date: str, modality: str, study_description: str
    ) -> tuple[StudyListing, ...]:
        """Return what the node has. Raises PeerError."""
        ...


class FetchesStudies(Protocol):
    """What has a study."""

    def fetch(self, listing: StudyListing, tell: "Tells", asked_by: str = "") -> FetchReport:
        """Have what is missing of the study. Raises PeerError."""
        ...


class Tells(Protocol):
    """What is told of the progress."""

    def __call__(self, progress: FetchProgress, /) -> None: ...


class Turn(Protocol):
    """Gives the node's turn to one process at a time; says whether we have it."""

    def __call__(self) -> AbstractContextManager[bool]: ...


class Poller:
    """Runs one rule; `step` is one round."""

    def __init__(
        self,
        rule: PollRule,
        client: ListsStudies,
        fetcher: FetchesStudies,
        fetches: Fetches,
        clock: Clock,
        time_zone: tzinfo,
        turn: Turn,
    ) -> None:
        self._rule = rule
        self._client = client
        self._fetcher = fetcher
        self._fetches = fetches
        self._clock = clock
        self._time_zone = time_zone
        self._turn = turn
        self._counts: dict[str, int] = {}  # of the last round, by study
        self._failures = 0  # of the node, in a row
        self._failed: dict[str, int] = {}  # by study, since the start
        self._not_before: datetime | None = None

    def step(self) -> int:
        """Fetch what is due, at most as many studies as the rule says; return how many."""
        now = self._clock.now()
        if self._not_before is not None and now < self._not_before:
            return 0
        with self._turn() as is_ours:
            if not is_ours:
                return 0  # somebody fetches from the node; another round finds it free
            try:
                done = self._round(now)
            except Stopped:
                return 0
            except PeerError as error:
                self._back_off(now, error)
                return 0
        self._failures, self._not_before = 0, None
        return done

    def _round(self, now: datetime) -> int:
        listed = self._client.list_studies(
            study_date=self._dates(now),
            modality=self._rule.modality,
            study_description=self._rule.study_description,
        )
        before = self._counts
        self._counts = {one.study_instance_uid: one.instances for one in listed}
        self._failed = {uid: n for uid, n in self._failed.items() if uid in self._counts}
        done = 0
        for listing in self._due(listed, before, now):
            if done == self._rule.at_most or not self._fetch(listing):
                break
            done += 1
        return done

    def _fetch(self, listing: StudyListing) -> bool:
        """Return whether the node did what it was asked; if not, the round is over."""
        uid = listing.study_instance_uid
        try:
            is_whole = not self._fetcher.fetch(
                listing, lambda _: None, asked_by=self._rule.name
            ).problems
            is_willing = True
        except Stopped:
            raise
        except PeerError:  # told by the fetch; another study may fare better
            is_whole = is_willing = False
        before = self._failed.pop(uid, 0)
        if not is_whole:
            self._failed[uid] = before + 1
        return is_willing

    def _dates(self, now: datetime) -> str:
        """Return the rule's days as a range. PS3.4 section C.2.2.2.5."""
        today = now.astimezone(self._time_zone).date()
        first = today - timedelta(days=self._rule.days - 1)
        return f"{first:%Y%m%d}-{today:%Y%m%d}"

    def _due(
        self, listed: tuple[StudyListing, ...], before: dict[str, int], now: datetime
    ) -> Iterator[StudyListing]:
        """Yield what is worth fetching, the oldest first, but after it what failed before.

        A study whose count has just changed, or that is seen for the first time, may still be
        sent to the archive: it is left for another round.
        """
        latest = self._fetches.latest(self._rule.node, [one.study_instance_uid for one in listed])
        for one in sorted(listed, key=self._rank):
            uid = one.study_instance_uid
            if before.get(uid) == one.instances and self._is_due(one, latest.get(uid), now):
                yield one

    def _rank(self, listing: StudyListing) -> tuple[int, str, str]:
        failed = self._failed.get(listing.study_instance_uid, 0)
        return failed, listing.study_date, listing.study_time

    def _is_due(self, listing: StudyListing, last: Fetch | None, now: datetime) -> bool:
        if last is None:
            return True
        if last.outcome is FetchOutcome.DONE:
            return listing.instances != last.instances
        failed = max(self._failed.get(listing.study_instance_uid, 0), 1)
        delay = self._rule.retry.delay_after(failed)
        return delay is not None and now >= (last.ended_at or last.asked_at) + delay

    def _back_off(self, now: datetime, error: PeerError) -> None:
        """Leave the node alone for a while, longer each time; tell when it begins."""
        self._failures += 1
        delay = self._rule.retry.delay_after(self._failures) or self._rule.retry.longest
        self._not_before = now + delay
        log_event(
            Event.PEER_UNREACHABLE,
            level=logging.WARNING if self._failures == 1 else logging.INFO,
            destination=self._rule.node,
            reason=str(error),
            attempt=self._failures,
            seconds=delay.total_seconds(),
        )
