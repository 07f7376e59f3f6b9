"""One study from a node: asked for by C-FIND, then had series by series.

A series at a time is what the node feels least, what shows how far it is, and what is asked for
again where it failed. Series that are whole here are not asked for, nor those that we made.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

from appliance.core.clock import Clock
from appliance.core.errors import PeerError, PeerRefused
from appliance.core.log import Event, log_event
from appliance.core.model import Door
from appliance.core.ports import Role, Wakeup
from appliance.core.uids import is_usable_uid
from appliance.doors.options import FetchOptions
from appliance.peers import DicomClient
from appliance.peers.client import StudyListing
from appliance.peers.retrieving import MOST_OFFERED, Retrieved, SubOperations, Wanted
from appliance.peers.status import Verdict
from results_store.fetches import Fetches, FetchOutcome, Way
from scp.deposit import Claimed, Deposit, Depot, Source
from scp.status import STATUSES

_MOST_UIDS = 500  # in one request for instances that failed


class Stopped(PeerError):
    """We are told to stop; the rest is fetched another time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchProgress:
    """How far a fetch is."""

    series: int  # 1, 2, … of `of_series`
    of_series: int
    completed: int  # images so far, of all series
    remaining: int  # of this series
    failed: int


@dataclass(slots=True, kw_only=True)
class FetchReport:
    """What became of a fetch."""

    listing: StudyListing
    series: int = 0  # that were asked for
    completed: int = 0
    failed: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def outcome(self) -> FetchOutcome:
        """Return how it ended."""
        if not self.problems:
            return FetchOutcome.DONE
        return FetchOutcome.PARTIAL if self.completed else FetchOutcome.FAILED


Tell = Callable[[FetchProgress], None]


class Fetcher:
    """Fetches studies from one node, one at a time.

    `wait` returns early, with True, where this process is to stop.
    """

    def __init__(
        self,
        options: FetchOptions,
        client: DicomClient,
        fetches: Fetches,
        depot: Depot,
        wakeup: Wakeup,
        clock: Clock,
        wait: Callable[[timedelta], bool],
    ) -> None:
        self.options = options
        self._client = client
        self._fetches = fetches
        self._depot = depot
        self._wakeup = wakeup
        self._clock = clock
        self._wait = wait

    def find(self, study_instance_uid: str) -> StudyListing:
        """Return what the node says of the study. Raises PeerRefused where it has none of it."""
        listed = self._client.list_studies(study_instance_uid=study_instance_uid)
        if not listed:
            raise PeerRefused(
                f"{self.options.node} has no study {study_instance_uid}: is the UID right, and "
                f"may {self.options.ae_title} see the study there?"
            )
        return listed[0]

    def fetch(self, listing: StudyListing, tell: Tell, asked_by: str = "") -> FetchReport:
        """Have what is missing here of the study; return what became of it.

        Raises PeerError (of which PeerRefused and Stopped are some) where it could not go on;
        what had come by then is kept.
        """
        uid = listing.study_instance_uid
        report = FetchReport(listing=listing)
        missing = self._missing(uid)
        number = self._fetches.begin(
            uid, self.options.node, self.options.way, asked_by=asked_by, instances=listing.instances
        )
        self._log(Event.FETCH_STARTED, uid, count=len(missing))
        is_over = False
        try:
            for report.series, series in enumerate(missing, 1):
                wanted = Wanted(study_instance_uid=uid, series_instance_uid=series)
                self._have(report, wanted, tell, len(missing))
            is_over = True
        except PeerError as error:
            report.problems.append(str(error))
            raise
        finally:
            if not is_over and not report.problems:
                report.problems.append("interrupted")
            self._end(number, report)
        return report

    def _end(self, number: int, report: FetchReport) -> None:
        reason, outcome = "; ".join(report.problems), report.outcome
        self._fetches.end(
            number, outcome, completed=report.completed, failed=report.failed, reason=reason
        )
        event = Event.FETCH_ENDED if outcome is FetchOutcome.DONE else Event.FETCH_FAILED
        uid = report.listing.study_instance_uid
        self._log(event, uid, count=report.completed, failed=report.failed, reason=reason)
        self._wakeup.wake(Role.ORCHESTRATE)

    def _log(self, event: Event, study: str, **fields: object) -> None:
        level = logging.WARNING if event is Event.FETCH_FAILED else logging.INFO
        node = self.options.node
        log_event(event, level=level, study_instance_uid=study, destination=node, **fields)

    def _missing(self, study: str) -> tuple[str, ...]:
        """Return the series of which the node has more than is here."""
        here, ours = self._fetches.here(study), self._fetches.our_series(study)
        return tuple(
            series
            for series, count in sorted(self._client.series_counts(study).items())
            if is_usable_uid(series)
            and series not in ours
            and (count is None or count > here.get(series, 0))
        )

    # -- one series -----------------------------------------------------------------------

    def _have(self, report: FetchReport, wanted: Wanted, tell: Tell, of_series: int) -> None:
        """Have one series; what cannot be had after all attempts is a problem of the report."""
        before, attempt = report.completed, 0
        while True:
            attempt += 1
            began = self._clock.monotonic()
            result = self._ask_patiently(report, wanted, tell, of_series)
            self._slow_down(result.completed, self._clock.monotonic() - began)
            if result.verdict is Verdict.REFUSED:
                raise PeerRefused(result.text)
            report.completed += result.completed
            if result.verdict is Verdict.ACCEPTED:
                return
            delay = self.options.retry.delay_after(attempt)
            if delay is None:
                break
            named = result.failed_uids
            if not 0 < len(named) == result.failed <= _MOST_UIDS:
                named, report.completed = (), before  # the whole series again
            wanted = replace(wanted, sop_instance_uids=named)
            self._pause(delay)
        report.failed += max(result.failed, 1)
        report.problems.append(f"series {report.series} of {of_series}: {result.text}")

    def _ask_patiently(
        self, report: FetchReport, wanted: Wanted, tell: Tell, of_series: int
    ) -> Retrieved:
        """Ask; where there is no association, again after a while. Raises PeerError."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._ask(report, wanted, tell, of_series)
            except (PeerRefused, Stopped):
                raise
            except PeerError:
                delay = self.options.retry.delay_after(attempt)
                if delay is None:
                    raise
                self._pause(delay)

    def _ask(self, report: FetchReport, wanted: Wanted, tell: Tell, of_series: int) -> Retrieved:
        def progress(counts: SubOperations) -> None:
            self._pause(timedelta(0))
            tell(
                FetchProgress(
                    series=report.series,
                    of_series=of_series,
                    completed=report.completed + counts.completed,
                    remaining=counts.remaining,
                    failed=report.failed + counts.failed,
                )
            )

        progress(SubOperations(remaining=0, completed=0, failed=0))
        if self.options.way is Way.MOVE:
            return self._client.move(wanted, progress)
        shelf = _Shelf(self._depot, self._source(wanted.study_instance_uid))
        return self._client.get(wanted, self._offer(wanted), shelf, progress)

    def _offer(self, wanted: Wanted) -> list[tuple[str, str]]:
        """Return SOP Classes with transfer syntaxes: each in as many as there is room for."""
        study, series = wanted.study_instance_uid, wanted.series_instance_uid
        said = sorted(set(self._client.sop_classes(study, series).values()))
        classes = [uid for uid in said if is_usable_uid(uid)] or self.options.usual_sop_classes
        syntaxes = self.options.transfer_syntaxes
        each = max(1, MOST_OFFERED // len(classes))
        return [(uid, syntax) for uid in classes for syntax in syntaxes[:each]]

    def _source(self, study: str) -> Source:
        return Source(
            door=Door.FETCHED,
            calling_ae_title=self.options.node_ae_title,
            called_ae_title=self.options.ae_title,
            peer_address=self.options.node_host,
            study_instance_uid=study,
        )

    # -- patience -------------------------------------------------------------------------

    def _slow_down(self, images: int, seconds: float) -> None:
        """Wait as long as the images should have taken, and the pause between two series."""
        rate = self.options.images_per_second
        owed = timedelta(seconds=max(0.0, images / rate - seconds)) if rate else timedelta(0)
        self._pause(max(owed, self.options.pause))

    def _pause(self, time: timedelta) -> None:
        if self._wait(time):
            raise Stopped("stopped; what is missing is fetched another time")


class _Shelf:
    """Puts what a C-GET brings into the spool."""

    def __init__(self, depot: Depot, source: Source) -> None:
        self._depot = depot
        self._source = source

    def begin(self, sop_class: str, sop_instance: str, transfer_syntax: str) -> "_Slot":
        """Return where the next instance goes."""
        claimed = Claimed(
            sop_class_uid=sop_class,
            sop_instance_uid=sop_instance,
            transfer_syntax_uid=transfer_syntax,
        )
        return _Slot(self._depot.begin(self._source, claimed))


class _Slot:
    """One instance of a C-GET."""

    def __init__(self, deposit: Deposit) -> None:
        self._deposit = deposit
        self.write = deposit.write
        self.discard = deposit.discard

    def finish(self) -> int:
        """Return the status of the sub-operation."""
        return STATUSES[self._deposit.finish()].code
