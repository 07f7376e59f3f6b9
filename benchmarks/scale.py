"""A hospital group in a simulation: how long results wait, in which plan, at which price.

    python -m benchmarks.scale [--plan benchmarks/scale.yaml] [--days 3] [--seed 1] [--out FOLDER]

Discrete events (simpy): studies come at random with the day's profile; one that a route matches
crosses the network where its plan has a centre, then waits for a core (our share of the work) and
for a GPU or cores (the model's). In each plan a node fails at ten in the morning of the last day
and stays away; what it was doing begins again elsewhere. `docs/SCALE.md` has the table; a test
plays it again.
"""

import argparse
import random
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import simpy
import yaml

from benchmarks.common import Ratio, report

DAY = 24 * 3600.0
_HOUR = 3600.0
_FAILS_AT = 10 * _HOUR  # of the last day
PLAN = Path(__file__).with_name("scale.yaml")


@dataclass(slots=True)
class Place:
    """Where pipelines run: one site's nodes, or the centre's. `slots` is what a model needs."""

    cores: simpy.PriorityResource
    slots: simpy.PriorityResource
    model: str  # "gpu" or "cpu": which of a kind's times counts
    busy: float = 0.0


@dataclass(slots=True)
class Seen:
    """Seconds from the last image to the result being on its way, by kind; before a node failed."""

    before: dict[str, list[float]] = field(default_factory=dict)
    after: dict[str, list[float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one plan came to."""

    name: str
    euros_a_study: float
    euros_a_year: int
    used: float  # of what models run on, over the days
    median: float
    p95: float
    p99: float
    p99_without_a_node: float


def play(world: dict[str, Any], plan: dict[str, Any], days: int, seed: int) -> Row:
    """Return what `plan` comes to over so many days."""
    env, rng, seen = simpy.Environment(), random.Random(seed), Seen()  # noqa: S311
    central = plan["place"] == "centre"
    places = [_place(env, plan) for _ in range(1 if central else world["sites"])]
    for site in range(world["sites"]):
        place = places[0 if central else site]
        link = simpy.Resource(env) if central else None
        env.process(_arrivals(env, world, place, link, rng, seen, days))
    env.process(_failure(env, places[0], plan, (days - 1) * DAY + _FAILS_AT))
    env.run()
    return _row(world, plan, places, seen, env.now)


def _place(env: simpy.Environment, plan: dict[str, Any]) -> Place:
    cores = plan["nodes"] * plan["cores"]
    gpus = plan["nodes"] * plan["gpus"]
    # A model on the CPU has eight cores; half of the node's are for our share.
    slots = gpus or max(1, cores // 2 // 8)
    return Place(
        cores=simpy.PriorityResource(env, capacity=cores if gpus else max(1, cores // 2)),
        slots=simpy.PriorityResource(env, capacity=slots),
        model="gpu" if gpus else "cpu",
    )


def _arrivals(
    env: simpy.Environment,
    world: dict[str, Any],
    place: Place,
    link: simpy.Resource | None,
    rng: random.Random,
    seen: Seen,
    days: int,
) -> Iterator[simpy.Event]:
    """Send one site's studies, by the profile of the day."""
    a_day = world["studies_a_year"] / world["busy_days_a_year"] / world["sites"]
    total, kinds = sum(world["hours"]), world["kinds"]
    weights = [kind["share"] for kind in kinds]
    while env.now < days * DAY:
        hour = int(env.now % DAY // _HOUR)
        rate = a_day * world["hours"][hour] / total / _HOUR
        # Thinned by the hour: a gap that reaches beyond it is drawn anew there.
        gap, left = rng.expovariate(rate), _HOUR - env.now % _HOUR
        if gap >= left:
            yield env.timeout(left + 1e-6)
            continue
        yield env.timeout(gap)
        [kind] = rng.choices(kinds, weights)
        if rng.random() < kind["runs"]:
            env.process(_study(env, world, kind, place, link, seen, (days - 1) * DAY + _FAILS_AT))


def _study(
    env: simpy.Environment,
    world: dict[str, Any],
    kind: dict[str, Any],
    place: Place,
    link: simpy.Resource | None,
    seen: Seen,
    fails_at: float,
) -> Iterator[simpy.Event]:
    start = env.now
    if link is not None:
        wide = world["wide_area"]
        with link.request() as line:
            yield line
            yield env.timeout(kind["mb"] * 8 / wide["megabits"] + wide["milliseconds"] / 1000)
    with place.cores.request(priority=1) as core:
        yield core
        yield env.timeout(kind["ours"])
    with place.slots.request(priority=1) as slot:
        yield slot
        yield env.timeout(kind[place.model])
        place.busy += kind[place.model]
    waited = seen.before if start < fails_at else seen.after
    waited.setdefault(kind["name"], []).append(env.now - start)


def _failure(
    env: simpy.Environment, place: Place, plan: dict[str, Any], at: float
) -> Iterator[simpy.Event]:
    """Take one node's part of the place away for the rest of the last day."""
    yield env.timeout(at)
    share = max(1, place.slots.capacity // plan["nodes"])
    # Where one node is all there is, it comes back after an hour: somebody goes and mends it.
    away = _HOUR if plan["nodes"] == 1 else DAY - _FAILS_AT
    taken = [place.slots.request(priority=0) for _ in range(share)]
    yield env.all_of(taken)
    yield env.timeout(away)
    for one in taken:
        place.slots.release(one)


def _row(
    world: dict[str, Any], plan: dict[str, Any], places: Sequence[Place], seen: Seen, now: float
) -> Row:
    edge = world["edge"]
    euros = world["sites"] * edge["nodes"] * edge["euros"]
    euros += plan["nodes"] * plan["euros"] * len(places)
    before = sorted(second for seconds in seen.before.values() for second in seconds)
    after = sorted(second for seconds in seen.after.values() for second in seconds)
    capacity = sum(place.slots.capacity for place in places) * now
    return Row(
        name=plan["name"],
        euros_a_study=euros / world["studies_a_year"],
        euros_a_year=euros,
        used=sum(place.busy for place in places) / capacity,
        median=statistics.median(before),
        p95=_quantile(before, 0.95),
        p99=_quantile(before, 0.99),
        p99_without_a_node=_quantile(after, 0.99),
    )


def _quantile(ordered: Sequence[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def table(rows: Sequence[Row]) -> str:
    """Return the rows as Markdown."""
    lines = [
        "| plan | € a year | € a study | in use | median | 95 % | 99 % | 99 % without a node |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        waits = (row.median, row.p95, row.p99, row.p99_without_a_node)
        cells = [
            row.name,
            f"{row.euros_a_year:,}".replace(",", " "),
            f"{row.euros_a_study:.3f}",
            f"{row.used:.0%}",
            *(_said(wait) for wait in waits),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _said(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def rows(path: Path = PLAN, *, days: int = 2, seed: int = 1) -> list[Row]:
    """Return a row for each plan in the file."""
    world = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [play(world, plan, days, seed) for plan in world["plans"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--plan", type=Path, default=PLAN)
    parser.add_argument("--days", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    given = parser.parse_args()
    found = rows(given.plan, days=given.days, seed=given.seed)
    print(table(found))
    report(
        "scale",
        [
            Ratio(
                what="p99-wait-without-a-node",
                peer="first-plan",
                ratio=row.p99_without_a_node / found[0].p99_without_a_node,
                conditions={"plan": row.name, "days": given.days, "seed": given.seed},
            )
            for row in found
        ],
        {},
        given.out,
    )


if __name__ == "__main__":
    main()
