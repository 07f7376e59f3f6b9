"""Which studies a rule fetches in a round, and how it leaves a node alone that does not answer."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, timedelta
from typing import Any

import pytest

from appliance.core.errors import PeerError
from appliance.doors.fetch import FetchReport
from appliance.doors.options import PollRule
from appliance.doors.polling import Poller
from appliance.peers.client import StudyListing
from results_store.fetches import Fetch, FetchOutcome, Way
from tests.store.world import SteppedClock

RULE = PollRule(name="rule 1", node="pacs", days=2, at_most=2, modality="MR")


def listing(uid: str, instances: int = 5, time: str = "0800") -> StudyListing:
    return StudyListing(
        study_instance_uid=uid,
        study_date="20261121",
        study_time=time,
        modalities=("MR",),
        instances=instances,
    )


class Node:
    """An archive, what was had from it, and the memory of that."""

    def __init__(self, clock: SteppedClock, rule: PollRule = RULE) -> None:
        self.studies: list[StudyListing] = []
        self.asked: list[dict[str, str]] = []
        self.had: list[str] = []
        self.down = False
        self.fails = False
        self.busy = False
        self.poison: set[str] = set()
        self._clock = clock
        self._rows: dict[str, Fetch] = {}
        self.poller = Poller(rule, self, self, self, clock, UTC, self._turn)  # type: ignore[arg-type]

    @contextmanager
    def _turn(self) -> Iterator[bool]:
        yield not self.busy

    def list_studies(self, **keys: str) -> tuple[StudyListing, ...]:
        self.asked.append(keys)
        if self.down:
            raise PeerError("pacs does not answer")
        return tuple(self.studies)

    def fetch(self, study: StudyListing, _tell: Any, asked_by: str = "") -> FetchReport:
        self.had.append(study.study_instance_uid)
        report = FetchReport(listing=study, completed=study.instances)
        if study.study_instance_uid in self.poison:
            report.problems.append("broken off")
        if self.fails:
            report.problems.append("one is missing")
        self._rows[study.study_instance_uid] = Fetch(
            id=len(self.had),
            study_instance_uid=study.study_instance_uid,
            node="pacs",
            way=Way.MOVE,
            asked_by=asked_by,
            asked_at=self._clock.now(),
            ended_at=self._clock.now(),
            outcome=report.outcome,
            instances=study.instances,
            completed=0,
            failed=0,
            reason="",
        )
        if study.study_instance_uid in self.poison:
            raise PeerError("pacs breaks off")
        return report

    def latest(self, _node: str, studies: list[str]) -> dict[str, Fetch]:
        return {uid: row for uid, row in self._rows.items() if uid in studies}


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def node(clock: SteppedClock) -> Node:
    return Node(clock)


def test_a_study_is_fetched_when_it_no_longer_grows_and_then_no_more(node: Node) -> None:
    node.studies = [listing("1.1", 3)]
    assert node.poller.step() == 0  # seen for the first time
    node.studies = [listing("1.1", 9)]
    assert node.poller.step() == 0
    assert node.poller.step() == 1
    assert node.poller.step() == 0
    node.studies = [listing("1.1", 12)]  # a later series
    assert [node.poller.step() for _ in range(3)] == [0, 1, 0]
    assert node.had == ["1.1", "1.1"]


def test_a_round_fetches_a_few_the_oldest_first(node: Node) -> None:
    node.studies = [listing(f"1.{n}", time=f"{20 - n:02}00") for n in range(1, 6)]
    assert [node.poller.step() for _ in range(5)] == [0, 2, 2, 1, 0]
    assert node.had == ["1.5", "1.4", "1.3", "1.2", "1.1"]


def test_the_node_is_asked_for_the_days_and_the_modality_of_the_rule(node: Node) -> None:
    node.poller.step()
    assert node.asked == [
        {"study_date": "20261120-20261121", "modality": "MR", "study_description": ""}
    ]


def test_a_node_that_is_down_is_asked_less_and_less_often_until_it_answers(
    node: Node, clock: SteppedClock
) -> None:
    node.down = True
    asked_at = []
    for minute in range(40):
        before = len(node.asked)
        node.poller.step()
        if len(node.asked) > before:
            asked_at.append(minute)
        clock.advance(timedelta(minutes=1))
    assert asked_at == [0, 1, 3, 7, 15, 31]
    node.down = False
    clock.advance(timedelta(hours=1))
    node.studies = [listing("1.1")]
    assert [node.poller.step() for _ in range(2)] == [0, 1]


def test_a_study_that_could_not_be_had_whole_is_tried_again_later_each_time(
    node: Node, clock: SteppedClock
) -> None:
    node.studies, node.fails = [listing("1.1")], True
    node.poller.step()
    tried_at = []
    for minute in range(10):
        before = len(node.had)
        node.poller.step()
        if len(node.had) > before:
            tried_at.append(minute)
        clock.advance(timedelta(minutes=1))
    assert tried_at == [0, 1, 3, 7]
    node.fails = False
    clock.advance(timedelta(hours=1))
    assert [node.poller.step() for _ in range(2)] == [1, 0]


def test_a_study_that_makes_the_node_break_off_stops_no_other(
    node: Node, clock: SteppedClock
) -> None:
    node.studies = [listing(f"1.{n}", time=f"080{n}") for n in range(1, 6)]
    node.poison = {"1.1"}
    for _ in range(6):
        node.poller.step()
        clock.advance(timedelta(minutes=1))
    assert set(node.had) == {"1.1", "1.2", "1.3", "1.4", "1.5"}
    assert [node.had.count(f"1.{n}") for n in range(2, 6)] == [1, 1, 1, 1]


def test_while_somebody_else_fetches_from_the_node_it_is_not_even_asked(node: Node) -> None:
    node.busy = True
    assert node.poller.step() == 0
    assert node.asked == []


def test_outcomes_of_a_report() -> None:
    one = listing("1.1")
    assert FetchReport(listing=one).outcome is FetchOutcome.DONE
    assert FetchReport(listing=one, problems=["x"]).outcome is FetchOutcome.FAILED
    assert FetchReport(listing=one, completed=1, problems=["x"]).outcome is FetchOutcome.PARTIAL
