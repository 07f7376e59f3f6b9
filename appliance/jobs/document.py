"""docs/JOB_STATES.md from the tables of `appliance.core.states`."""

import inspect
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from appliance.core.states import (
    DELIVERY_TRANSITIONS,
    JOB_TRANSITIONS,
    ROUTE_TRANSITIONS,
    DeliveryState,
    JobState,
    RouteState,
    as_mermaid,
    terminal,
)

_HEAD = """# States

Drawn from `appliance/core/states.py`; change the tables there and run `make docs`. The store moves
a row by compare-and-set along these arrows and by nothing else, and writes each move down.
"""

_MACHINES: tuple[tuple[str, Mapping[Any, Any], type[StrEnum]], ...] = (
    ("Jobs", JOB_TRANSITIONS, JobState),
    ("Deliveries", DELIVERY_TRANSITIONS, DeliveryState),
    ("Routes of a study", ROUTE_TRANSITIONS, RouteState),
)


def job_states() -> str:
    """Return the page: a diagram and a table of moves for each state machine."""
    return "\n".join([_HEAD, *(_machine(*machine) for machine in _MACHINES)])


def _machine(title: str, table: Mapping[Any, Any], states: type[StrEnum]) -> str:
    ends = ", ".join(f"`{state.value}`" for state in states if state in terminal(table, states))
    summary = (inspect.getdoc(states) or "").splitlines()[0]
    moves = [f"| `{a.value}` | `{e.value}` | `{b.value}` |" for (a, e), b in table.items()]
    return "\n".join(
        [
            f"## {title}",
            "",
            summary,
            "",
            "```mermaid",
            as_mermaid(table),
            "```",
            "",
            f"Nothing leaves: {ends or 'no state is final'}.",
            "",
            "| in | event | then |",
            "| --- | --- | --- |",
            *moves,
            "",
        ]
    )
