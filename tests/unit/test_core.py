"""The shared vocabulary: quantities, identifiers, delays, states, log lines."""

import json
import logging
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.backoff import Backoff
from appliance.core.errors import IllegalTransition
from appliance.core.log import Event, JsonFormatter, log_event
from appliance.core.quantities import format_duration, format_size, parse_duration, parse_size
from appliance.core.states import (
    JOB_TRANSITIONS,
    ROUTE_TRANSITIONS,
    JobEvent,
    JobState,
    as_mermaid,
    next_state,
    terminal,
)
from appliance.core.uids import is_usable_uid, is_valid_uid, uid_from_name


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30 s", 30), ("2 h", 7200), ("10min", 600), ("14 d", 1209600), ("250 ms", 0.25)],
)
def test_durations_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)
    assert parse_duration(format_duration(parse_duration(text))) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["30", "3 parsecs", "", "-1 s", None, 30, "1 h 2 min"])
def test_what_is_no_duration_is_refused_with_the_units(text: object) -> None:
    with pytest.raises(ValueError, match="ms, s, min, h, d"):
        parse_duration(text)


def test_sizes_are_decimal() -> None:
    assert parse_size("50 GB") == 50 * 10**9
    assert format_size(50 * 10**9) == "50 GB"
    assert format_size(0) == "0 B"


@given(
    st.lists(st.text(), min_size=1), st.sampled_from([None, "1.2.840.99999", "2.16." + "9" * 40])
)
def test_uids_from_names_are_valid_and_always_the_same(parts: list[str], root: str | None) -> None:
    uid = uid_from_name(*parts, root=root)
    assert is_valid_uid(uid)
    assert uid == uid_from_name(*parts, root=root)


def test_different_names_give_different_uids() -> None:
    assert uid_from_name("a", "b") != uid_from_name("ab")
    assert uid_from_name("a", "b") != uid_from_name("b", "a")


@pytest.mark.parametrize("text", ["", "../1.2", "1.2/3", "1" * 65, "1..2", "1.2\0", "\uff11.2"])
def test_a_received_uid_is_digits_and_dots(text: str) -> None:
    assert not is_usable_uid(text)


def test_delays_double_to_a_limit_and_end() -> None:
    backoff = Backoff(first=timedelta(seconds=1), longest=timedelta(seconds=5), attempts=5)
    delays = [backoff.delay_after(n) for n in range(1, 6)]
    assert delays == [timedelta(seconds=s) for s in (1, 2, 4, 5)] + [None]


def test_only_listed_events_move_a_state() -> None:
    assert next_state(JOB_TRANSITIONS, JobState.QUEUED, JobEvent.CLAIM) is JobState.RUNNING
    with pytest.raises(IllegalTransition, match="claim is not allowed in state done"):
        next_state(JOB_TRANSITIONS, JobState.DONE, JobEvent.CLAIM)


def test_finished_runs_stay_finished() -> None:
    over = terminal(JOB_TRANSITIONS, JobState)
    assert over >= {JobState.DONE, JobState.CANCELLED}


def test_the_picture_has_every_arrow() -> None:
    assert as_mermaid(ROUTE_TRANSITIONS).count("-->") == len(ROUTE_TRANSITIONS)


def test_a_log_line_is_json_with_known_keys_alone(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "appliance"):
        log_event(Event.JOB_DONE, job=3, seconds=1.5)
    line = json.loads(JsonFormatter().format(caplog.records[0]))
    assert (line["event"], line["job"], line["seconds"]) == ("job.done", 3, 1.5)
    with pytest.raises(ValueError, match="patient_name"):
        log_event(Event.JOB_DONE, patient_name="x")
