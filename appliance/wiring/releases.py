"""Whether results of a pipeline may leave by a route: the one rule, for `check` and for intake.

What `check` refuses does not stop an appliance that runs, or starts: images go on being received
and pipelines go on running, only their results stay here, with the reason. So a clearance may end
at night, and a new version may be put into a folder at any time.
"""

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from appliance.core.clock import Clock
from appliance.core.model import Job, ObjectKind, Priority
from appliance.core.objections import Objection, reasons_on
from appliance.settings.model import Settings
from appliance.settings.work import Release, RouteSettings
from appliance.wiring.catalogue import Installed, installed
from pipelines.card import RegulatoryStatus
from pipelines.clinical import ALLOWED
from pipelines.manifest import Manifest

_DAY = timedelta(days=1)
_DIGITS = 12  # of a digest, for people


def objections(settings: Settings, number: int, pipeline: Installed) -> Iterator[Objection]:
    """Yield why results of `pipeline` may not leave by the route of this number, ever or on days.

    A route that does not send has none: its results stay here anyway.
    """
    route = settings.routes[number]
    if route.send is None:
        return
    here = ("pipelines", pipeline.name)
    release = settings.pipelines[pipeline.name].release
    yield from _of_parameters(settings, pipeline)
    yield from _of_clearance(here, pipeline.manifest)
    if release is None:
        yield _missing(here, pipeline.manifest)
        return
    yield from _of_version((*here, "release"), release, pipeline)
    yield from _of_time((*here, "release"), release)
    yield from _of_role((*here, "release", "role"), release, pipeline.manifest)
    yield from _of_route(("routes", number), release, route)
    yield from _of_use((*here, "release", "approval"), settings, route, release, pipeline.manifest)


def all_objections(
    settings: Settings, catalogue: Mapping[str, Installed]
) -> Mapping[tuple[int, str], tuple[Objection, ...]]:
    """Return the objections by route's number and pipeline."""
    return {
        (number, name): tuple(objections(settings, number, catalogue[name]))
        for number, route in enumerate(settings.routes)
        for name in route.run
    }


def names(release: Release, pipeline: Installed) -> bool:
    """Return whether the release is of this very version."""
    return not list(_of_version((), release, pipeline))


def problems(settings: Settings, catalogue: Mapping[str, Installed], day: date) -> list[str]:
    """Return every objection that holds on `day`, once, with file and line."""
    found = all_objections(settings, catalogue).values()
    said = {
        settings.problem(one.key, f"{one.reason}; {one.advice}"): None
        for objections_ in found
        for one in objections_
        if one.holds(day)
    }
    return list(said)


def soon(
    settings: Settings, catalogue: Mapping[str, Installed], day: date, within: timedelta
) -> list[str]:
    """Return what will keep results here within that time, and does not yet."""
    said = {
        f"{one.since}: results of {name} will stay here: {one.reason}": None
        for (_, name), found in all_objections(settings, catalogue).items()
        for one in found
        if one.since is not None and day < one.since <= day + within
    }
    return list(said)


class Gate:
    """What the worker asks last, before a result is committed."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._zone = ZoneInfo(settings.appliance.time_zone)
        self._found: dict[tuple[str, str, str], tuple[Objection, ...]] = {}

    def shadow_of(self, job: Job) -> str:
        """Return why nothing of the job's result may leave today; "" where it may.

        Raises ConfigError where a pipeline's folder is broken by now.
        """
        key = (job.route, job.pipeline, job.pipeline_digest)
        if key not in self._found:
            self._found |= self._of_now()
        day = self._clock.now().astimezone(self._zone).date()
        return reasons_on(self._found.get(key, ()), day)

    def _of_now(self) -> dict[tuple[str, str, str], tuple[Objection, ...]]:
        catalogue = installed(self._settings)
        return {
            (self._settings.routes[number].name, name, catalogue[name].digest): found
            for (number, name), found in all_objections(self._settings, catalogue).items()
        }


def _missing(here: tuple[str, ...], manifest: Manifest) -> Objection:
    example = (
        f"release: {{version: {manifest.version}, role: {manifest.clinical_role}, by: NAME, "
        "on: YYYY-MM-DD, reference: PROTOCOL}"
    )
    return Objection(
        key=(*here, "release"),
        reason=f"{manifest.version} is not released",
        advice=f"write {example}, or leave send out of the route (shadow)",
    )


def _of_version(key: tuple[str, ...], release: Release, pipeline: Installed) -> Iterator[Objection]:
    there = pipeline.manifest.version
    if release.version != there:
        yield Objection(
            key=(*key, "version"),
            reason=f"{there} is not released",
            advice=f"{release.version} is; write version: {there} once it is accepted here, "
            f"or put {release.version} back into its folder",
        )
    elif release.digest is not None and not pipeline.digest.startswith(release.digest):
        yield Objection(
            key=(*key, "digest"),
            reason=f"these files of {there} are not released",
            advice=f"write digest: {pipeline.digest[:_DIGITS]} once they are accepted here, "
            f"or put those of {release.digest[:_DIGITS]} back",
        )


def _of_time(key: tuple[str, ...], release: Release) -> Iterator[Objection]:
    yield Objection(
        key=(*key, "on"),
        reason=f"the release begins on {release.on}",
        advice="write the day on which it was released",
        until=release.on - _DAY,
    )
    if release.until is not None:
        yield Objection(
            key=(*key, "until"),
            reason=f"the release ended on {release.until}",
            advice="look at the results since, and write a later day or leave send out",
            since=release.until + _DAY,
        )


def _of_clearance(here: tuple[str, ...], manifest: Manifest) -> Iterator[Objection]:
    if manifest.regulatory.expires is not None:
        yield Objection(
            key=here,
            reason=f"the clearance of {manifest.version} ended on {manifest.regulatory.expires}",
            advice="install a version that is cleared, or leave send out of the route (shadow)",
            since=manifest.regulatory.expires + _DAY,
        )


def _of_role(key: tuple[str, ...], release: Release, manifest: Manifest) -> Iterator[Objection]:
    claimed = manifest.clinical_role
    if release.role.exceeds(claimed):
        yield Objection(
            key=key,
            reason=f"it is released as {release.role}, its maker says {claimed} at most",
            advice=f"write role: {claimed}",
        )


def _of_route(
    key: tuple[str | int, ...], release: Release, route: RouteSettings
) -> Iterator[Objection]:
    allowed = ALLOWED[release.role]
    objects = route.send.objects if route.send is not None else ()
    if not allowed.objects.issuperset(objects):
        # A report is what every role may send.
        right = [kind for kind in objects if kind in allowed.objects] or [ObjectKind.SR]
        wrong = ", ".join(kind for kind in objects if kind not in allowed.objects)
        yield Objection(
            key=(*key, "send", "objects"),
            reason=f"what is released as {release.role} does not send {wrong}",
            advice=f"write objects: [{', '.join(right)}]",
        )
    if route.priority not in allowed.priorities:
        fitting = [one.value for one in Priority if one in allowed.priorities]
        yield Objection(
            key=(*key, "priority"),
            reason=f"what is released as {release.role} does not run as {route.priority}",
            advice=f"write priority: {' or '.join(fitting)}",
        )


def _of_use(
    key: tuple[str, ...],
    settings: Settings,
    route: RouteSettings,
    release: Release,
    manifest: Manifest,
) -> Iterator[Objection]:
    if manifest.regulatory.status is not RegulatoryStatus.RESEARCH or release.approval:
        return
    for name in route.send.to if route.send is not None else ():
        if settings.destinations[name].use == "clinical":
            yield Objection(
                key=key,
                reason=f"it is for research, and {name} is in clinical use",
                advice=f"write approval: who approved it, or use: research at {name}",
            )


def _of_parameters(settings: Settings, pipeline: Installed) -> Iterator[Objection]:
    given = settings.pipelines[pipeline.name].parameters
    for one in pipeline.manifest.parameters:
        if one.shadow_only and given.get(one.name, one.default) != one.default:
            yield Objection(
                key=("pipelines", pipeline.name, "parameters", one.name),
                reason=f"{one.name} may be set in shadow alone",
                advice="leave it out, or leave send out of the route",
            )
