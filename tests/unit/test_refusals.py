"""What the log says of refusals that do not end."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from appliance.core.log import Event
from scp.refusals import Kind, Limiter, RefusalLog


class Watch:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


def kind(address: str = "10.0.0.1", reason: str = "no-room") -> Kind:
    return Kind(
        event=Event.INSTANCE_REFUSED, reason=reason, calling_ae_title="CT", peer_address=address
    )


def test_the_first_is_told_at_once_and_the_others_once_a_minute_with_their_number() -> None:
    watch = Watch()
    limiter = Limiter(watch)
    assert limiter.begins(kind()) == kind()
    for second in range(1, 60):
        watch.seconds = second
        assert limiter.begins(kind()) is None
        assert limiter.due() == ()
    watch.seconds = 60
    (said,) = limiter.due()
    assert (said.kind, said.count) == (kind(), 59)
    assert said.last == datetime(2030, 1, 1, 0, 0, 59, tzinfo=UTC)
    assert limiter.begins(kind()) is None
    watch.seconds = 119
    assert limiter.due() == ()
    watch.seconds = 120
    assert [one.count for one in limiter.due()] == [1]


def test_another_reason_and_another_peer_are_told_for_themselves() -> None:
    limiter = Limiter(Watch())
    for one in (kind(), kind(reason="too-large"), kind(address="10.0.0.2")):
        assert limiter.begins(one) == one


def test_what_stayed_away_for_a_minute_begins_again() -> None:
    watch = Watch()
    limiter = Limiter(watch)
    limiter.begins(kind())
    watch.seconds = 61
    assert limiter.due() == ()
    assert limiter.begins(kind()) == kind()


def test_names_that_a_peer_makes_up_are_told_together() -> None:
    watch = Watch()
    limiter = Limiter(watch, most=3)
    told = [limiter.begins(kind(address=f"10.0.0.{n}")) for n in range(10)]
    assert [one.peer_address for one in told if one] == [
        "10.0.0.0",
        "10.0.0.1",
        "10.0.0.2",
        "(others)",
    ]
    watch.seconds = 60
    assert [one.count for one in limiter.due()] == [6]


def test_a_million_refusals_are_a_few_lines_and_the_last_ones_are_told_at_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watch = Watch()
    refusals = RefusalLog(watch)
    who: dict[str, Any] = {"calling_ae_title": "CT", "peer_address": "10.0.0.1"}
    with caplog.at_level(logging.WARNING, "appliance"):
        for number in range(1000):
            watch.seconds = number / 10
            refusals.tell(Event.INSTANCE_REFUSED, "no-room", status="A700", **who)
            refusals.flush()
        refusals.close()
        refusals.close()
    fields = [record.__dict__["fields"] for record in caplog.records]
    assert fields[0]["status"] == "A700"
    assert [line.get("count") for line in fields] == [None, 600, 399]
    assert fields[2]["last"] == "2030-01-01T00:01:39.900000+00:00"
