"""One study, series by series: what is asked for, what again, how slowly, and how it ends."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from appliance.core.backoff import Backoff
from appliance.core.errors import PeerError, PeerRefused
from appliance.doors.fetch import Fetcher, FetchProgress, Stopped
from appliance.doors.options import FetchOptions
from appliance.peers.client import StudyListing
from appliance.peers.retrieving import Retrieved, SubOperations, Wanted
from appliance.peers.status import Verdict
from results_store.fetches import FetchOutcome, Way
from tests.store.world import SteppedClock

LISTING = StudyListing(
    study_instance_uid="1.2", study_date="", study_time="", modalities=(), instances=9
)


def result(verdict: Verdict, completed: int = 3, *failed: str) -> Retrieved:
    return Retrieved(
        status=0,
        verdict=verdict,
        text=f"pacs: {verdict.value}",
        completed=completed,
        failed=len(failed),
        failed_uids=failed,
    )


WHOLE = result(Verdict.ACCEPTED)


class World:
    """A node that answers as it is told, and a store that remembers."""

    def __init__(self, **options: Any) -> None:
        self.answers: list[Retrieved | PeerError] = []
        self.asked: list[Wanted] = []
        self.offered: list[list[tuple[str, str]]] = []
        self.waited: list[float] = []
        self.ended: tuple[FetchOutcome, str] | None = None
        self.there: dict[str, int | None] = {"1.2.1": 3, "1.2.2": 3}
        self.held: dict[str, int] = {}
        self.ours: frozenset[str] = frozenset()
        self.classes = {"9.1": "1.2.840.10008.5.1.4.1.1.4"}
        self.stops = False
        self.clock = SteppedClock()
        values: dict[str, Any] = {
            "node": "pacs",
            "way": Way.MOVE,
            "node_ae_title": "PACS",
            "node_host": "10.0.0.1",
            "ae_title": "APPLIANCE",
            "transfer_syntaxes": tuple(f"1.9.{n}" for n in range(40)),
            "usual_sop_classes": ("1.8.1", "1.8.2"),
            "retry": Backoff(first=timedelta(1), longest=timedelta(1), attempts=3),
        }
        one: Any = self
        self.fetcher = Fetcher(
            FetchOptions(**{**values, **options}), one, one, one, one, self.clock, self._wait
        )

    def _wait(self, time: timedelta) -> bool:
        if time:
            self.waited.append(time.total_seconds())
        return self.stops

    def series_counts(self, _study: str) -> Mapping[str, int | None]:
        return self.there

    def sop_classes(self, _study: str, _series: str) -> Mapping[str, str]:
        return self.classes

    def list_studies(self, **_: str) -> tuple[StudyListing, ...]:
        return ()

    def move(self, wanted: Wanted, progress: Any) -> Retrieved:
        self.asked.append(wanted)
        progress(SubOperations(remaining=1, completed=2, failed=0))
        answer = self.answers.pop(0) if self.answers else WHOLE
        if isinstance(answer, PeerError):
            raise answer
        return answer

    def get(self, wanted: Wanted, offer: Any, _shelf: Any, progress: Any) -> Retrieved:
        self.offered.append(offer)
        return self.move(wanted, progress)

    def here(self, _study: str) -> Mapping[str, int]:
        return self.held

    def our_series(self, _study: str) -> frozenset[str]:
        return self.ours

    def begin(self, *_: Any, **__: Any) -> int:
        return 1

    def end(self, _number: int, outcome: FetchOutcome, *, reason: str, **_: Any) -> None:
        self.ended = (outcome, reason)

    def wake(self, _role: object) -> None:
        """Be the wake-up."""


def test_series_are_asked_for_one_after_the_other_and_told() -> None:
    world, told = World(), list[FetchProgress]()
    report = world.fetcher.fetch(LISTING, told.append)
    assert [one.series_instance_uid for one in world.asked] == ["1.2.1", "1.2.2"]
    assert (report.series, report.completed, report.failed) == (2, 6, 0)
    assert world.ended == (FetchOutcome.DONE, "")
    assert (told[-1].series, told[-1].of_series, told[-1].completed) == (2, 2, 5)


def test_what_is_whole_here_and_what_we_made_is_not_asked_for() -> None:
    world = World()
    world.there = {"1.2.1": 3, "1.2.2": 4, "1.2.3": None, "1.2.4": 2, "*": 1}
    world.held, world.ours = {"1.2.1": 3, "1.2.2": 3}, frozenset({"1.2.4"})
    world.fetcher.fetch(LISTING, lambda _: None)
    assert [one.series_instance_uid for one in world.asked] == ["1.2.2", "1.2.3"]


def test_instances_that_failed_are_asked_for_again_by_their_uids() -> None:
    world = World()
    world.answers = [result(Verdict.RETRY, 1, "1.2.1.8", "1.2.1.9"), result(Verdict.ACCEPTED, 2)]
    report = world.fetcher.fetch(LISTING, lambda _: None)
    assert world.asked[1].sop_instance_uids == ("1.2.1.8", "1.2.1.9")
    assert (report.completed, report.outcome) == (6, FetchOutcome.DONE)


@pytest.mark.parametrize("named", [0, 1, 501])
def test_where_not_all_that_failed_is_named_the_series_is_asked_for_again(named: int) -> None:
    world = World()
    failed = max(named, 2) if named < 500 else named
    uids = tuple(f"1.2.1.{n}" for n in range(named))
    world.answers = [replace(result(Verdict.RETRY, 1, *uids), failed=failed)]
    report = world.fetcher.fetch(LISTING, lambda _: None)
    assert world.asked[1].sop_instance_uids == ()
    assert (report.completed, report.outcome) == (6, FetchOutcome.DONE)


def test_what_fails_to_the_end_is_named_and_the_other_series_are_had() -> None:
    world = World()
    world.answers = [result(Verdict.RETRY, 0, "1.2.1.8") for _ in range(3)]
    report = world.fetcher.fetch(LISTING, lambda _: None)
    assert (report.completed, report.failed, report.outcome) == (3, 1, FetchOutcome.PARTIAL)
    assert world.ended == (FetchOutcome.PARTIAL, "series 1 of 2: pacs: retry")
    assert len(world.asked) == 4


@pytest.mark.parametrize(
    ("answers", "kind", "asked"),
    [
        ([result(Verdict.REFUSED, 0)], PeerRefused, 1),
        ([PeerRefused("not offered")], PeerRefused, 1),
        ([PeerError("down")] * 3, PeerError, 3),
    ],
)
def test_a_refusal_and_a_node_that_stays_away_end_the_fetch(
    answers: list[Any], kind: type[PeerError], asked: int
) -> None:
    world = World()
    world.answers = answers
    with pytest.raises(kind):
        world.fetcher.fetch(LISTING, lambda _: None)
    assert len(world.asked) == asked
    assert world.ended is not None and world.ended[0] is FetchOutcome.FAILED


def test_a_node_that_is_away_for_a_moment_is_asked_again() -> None:
    world = World()
    world.answers = [PeerError("congested")]
    assert world.fetcher.fetch(LISTING, lambda _: None).outcome is FetchOutcome.DONE
    assert len(world.asked) == 3


def test_it_waits_between_series_and_as_long_as_the_images_should_take() -> None:
    world = World(pause=timedelta(seconds=1), images_per_second=0.5)
    world.fetcher.fetch(LISTING, lambda _: None)
    assert world.waited == [6.0, 6.0]
    assert World(pause=timedelta(seconds=1)).fetcher.options.pause == timedelta(seconds=1)


def test_told_to_stop_it_ends_within_the_series_and_says_so() -> None:
    world = World()

    def stop(_: FetchProgress) -> None:
        world.stops = True

    with pytest.raises(Stopped):
        world.fetcher.fetch(LISTING, stop)
    assert len(world.asked) == 1
    assert world.ended is not None and world.ended[0] is not FetchOutcome.DONE


def test_for_a_get_each_class_is_offered_in_as_many_syntaxes_as_there_is_room_for() -> None:
    world = World(way=Way.GET)
    world.there = {"1.2.1": 3}
    world.fetcher.fetch(LISTING, lambda _: None)
    assert len(world.offered[0]) == 40
    world.classes = {f"9.{n}": f"1.2.840.10008.5.1.4.1.1.{n}" for n in range(1, 11)}
    world.fetcher.fetch(LISTING, lambda _: None)
    assert len(world.offered[1]) == 120
    world.classes = {"9.1": ""}
    world.fetcher.fetch(LISTING, lambda _: None)
    assert {uid for uid, _ in world.offered[2]} == {"1.8.1", "1.8.2"}


def test_a_study_that_the_node_lacks_is_refused() -> None:
    with pytest.raises(PeerRefused, match="pacs has no study 1\\.2"):
        World().fetcher.find("1.2")
