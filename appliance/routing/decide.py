"""A route and a study → a decision with its reasons, also where nothing matched.

Candidates are image series. A series serves an input when it meets the route's `when` and the
input's `select`. A route matches when every pipeline that it runs finds a series for each input
that it requires.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from appliance.core.model import (
    Reason,
    RouteDecision,
    SelectedInput,
    SeriesSummary,
    StudySummary,
)
from appliance.routing.evaluate import Verdict, explain
from appliance.routing.images import images_only
from appliance.routing.rules import InputSpec, PipelineInputs, Route
from appliance.routing.selection import assign, ranked, series_order, why_best
from appliance.routing.wording import value_text

_MOST_SHORTFALLS = 4  # conditions that the summary names


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """A decision, and what is known of a study that is still arriving."""

    decision: RouteDecision
    when_met: tuple[str, ...]  # UIDs of the series that meet the route's `when`
    filled: tuple[SelectedInput, ...]  # also where other inputs are missing
    missing: tuple[str, ...]  # required inputs without a series, as "pipeline/input"
    missing_optional: tuple[str, ...]


def decide(
    route: Route, study: StudySummary, pipelines: Mapping[str, PipelineInputs]
) -> RouteDecision:
    """Return what the route says of the study. `pipelines` has each name in `route.run`."""
    return assess(route, study, pipelines).decision


def assess(
    route: Route, study: StudySummary, pipelines: Mapping[str, PipelineInputs]
) -> Assessment:
    """Return the decision and how far the inputs of each pipeline are there."""
    everything = sorted((images_only(one) for one in study.series), key=series_order)
    candidates = [one for one in everything if one.instances]
    when = {one.series_instance_uid: explain(route.when, one) for one in candidates}
    fits = [one for one in candidates if _all_hold(when[one.series_instance_uid])]
    choices = [_choose(pipelines[name], candidates, fits) for name in route.run]
    verdicts = {
        one.series_instance_uid: (
            *when[one.series_instance_uid],
            *(v for choice in choices for v in choice.verdicts[one.series_instance_uid]),
        )
        for one in candidates
    }
    missing = tuple(name for choice in choices for name in choice.missing)
    filled = tuple(selected for choice in choices for selected in choice.filled)
    matched = not missing and bool(filled)
    decision = RouteDecision(
        route=route.name,
        matched=matched,
        reasons=_reasons(everything, verdicts),
        inputs=filled if matched else (),
        summary=_runs(filled, study) if matched else _does_not_run(candidates, verdicts, missing),
    )
    return Assessment(
        decision=decision,
        when_met=tuple(one.series_instance_uid for one in fits),
        filled=filled,
        missing=missing,
        missing_optional=tuple(name for choice in choices for name in choice.missing_optional),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choice:
    verdicts: Mapping[str, tuple[Verdict, ...]]  # by series
    filled: tuple[SelectedInput, ...]
    missing: tuple[str, ...]
    missing_optional: tuple[str, ...]


def _choose(
    pipeline: PipelineInputs, candidates: Sequence[SeriesSummary], fits: Sequence[SeriesSummary]
) -> _Choice:
    verdicts = {
        spec.name: {
            one.series_instance_uid: explain(spec.select, one, f"{pipeline.pipeline}/{spec.name}: ")
            for one in candidates
        }
        for spec in pipeline.inputs
    }
    fitting = {
        spec.name: ranked(
            [one for one in fits if _all_hold(verdicts[spec.name][one.series_instance_uid])],
            spec.prefer,
        )
        for spec in sorted(pipeline.inputs, key=lambda spec: not spec.required)
    }
    taken = assign({k: [one.series_instance_uid for one in v] for k, v in fitting.items()})
    empty = [spec for spec in pipeline.inputs if spec.name not in taken]
    return _Choice(
        verdicts={
            one.series_instance_uid: tuple(
                v for by_series in verdicts.values() for v in by_series[one.series_instance_uid]
            )
            for one in candidates
        },
        filled=tuple(
            _selected(pipeline.pipeline, spec, fitting[spec.name], taken[spec.name])
            for spec in pipeline.inputs
            if spec.name in taken
        ),
        missing=tuple(f"{pipeline.pipeline}/{spec.name}" for spec in empty if spec.required),
        missing_optional=tuple(
            f"{pipeline.pipeline}/{spec.name}" for spec in empty if not spec.required
        ),
    )


def _selected(
    pipeline: str, spec: InputSpec, fitting: Sequence[SeriesSummary], uid: str
) -> SelectedInput:
    place = next(i for i, one in enumerate(fitting) if one.series_instance_uid == uid)
    best = fitting[place]
    why = why_best(best, fitting[place + 1 :], spec.prefer)
    if place:
        why += f"; {place} better placed went to other inputs"
    return SelectedInput(
        pipeline=pipeline,
        input_name=spec.name,
        series_instance_uid=uid,
        sop_instance_uids=tuple(instance.sop_instance_uid for instance in best.instances),
        why=why,
    )


def _all_hold(verdicts: Sequence[Verdict]) -> bool:
    return all(verdict.reason.holds for verdict in verdicts)


def _reasons(
    everything: Sequence[SeriesSummary], verdicts: Mapping[str, Sequence[Verdict]]
) -> tuple[Reason, ...]:
    found: list[Reason] = []
    for series in everything:
        uid = series.series_instance_uid
        if uid in verdicts:
            found += [verdict.reason for verdict in verdicts[uid]]
        else:
            modality = value_text("Modality", series.attributes.get("Modality"))
            found.append(
                Reason(
                    condition="the series has images",
                    found=f"none (Modality {modality})",
                    holds=False,
                    series_instance_uid=uid,
                )
            )
    return tuple(found)


def series_label(series: SeriesSummary) -> str:
    """Return how a person knows the series: its number and description."""
    number = value_text("SeriesNumber", series.attributes.get("SeriesNumber"))
    described = series.attributes.get("SeriesDescription")
    name = f" '{value_text('SeriesDescription', described)}'" if described else ""
    return f"series {number}{name}" if number not in ("absent", "empty") else f"a series{name}"


def _runs(filled: Sequence[SelectedInput], study: StudySummary) -> str:
    labels = {one.series_instance_uid: series_label(one) for one in study.series}
    parts = [
        f"{one.pipeline} on {labels[one.series_instance_uid]} as {one.input_name} ({one.why})"
        for one in filled
    ]
    return f"runs {'; '.join(parts)}"


def _does_not_run(
    candidates: Sequence[SeriesSummary],
    verdicts: Mapping[str, Sequence[Verdict]],
    missing: Sequence[str],
) -> str:
    if not candidates:
        return "not run: the study has no images"
    closest = min(
        candidates,
        key=lambda one: sum(not v.reason.holds for v in verdicts[one.series_instance_uid]),
    )
    told = [v.shortfall for v in verdicts[closest.series_instance_uid] if not v.reason.holds]
    short = list(dict.fromkeys(told))  # a route and an input often want the same
    if not short:
        return f"not run: no series is left for {', '.join(missing)}; each serves another input"
    more = f"; and {len(short) - _MOST_SHORTFALLS} more" if len(short) > _MOST_SHORTFALLS else ""
    return (
        f"not run: no series meets all conditions; closest was {series_label(closest)}: "
        f"{'; '.join(short[:_MOST_SHORTFALLS])}{more}"
    )
