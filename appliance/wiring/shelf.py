"""What becomes of each pipeline's results, for people who look."""

from collections.abc import Callable
from zoneinfo import ZoneInfo

from appliance.core.clock import Clock
from appliance.core.errors import ConfigError
from appliance.core.objections import reasons_on
from appliance.jobs.folders import Folders
from appliance.settings.model import Settings
from appliance.wiring.catalogue import Installed, install
from appliance.wiring.releases import objections
from feedback.system import PipelineLine


def pipelines_now(settings: Settings, clock: Clock) -> Callable[[], tuple[PipelineLine, ...]]:
    """Return what looks at all pipelines as they lie in their folders at that moment."""
    folders = Folders()
    return lambda: tuple(_line(settings, name, folders, clock) for name in settings.pipelines)


def _line(settings: Settings, name: str, folders: Folders, clock: Clock) -> PipelineLine:
    try:
        pipeline = install(settings, name, folders)
    except (ConfigError, OSError) as error:
        words = f"broken: {error}"
        return PipelineLine(name=name, version="", digest="", words=words, leaves=False)
    words, leaves = _words(settings, pipeline, clock)
    return PipelineLine(
        name=name,
        version=pipeline.manifest.version,
        digest=pipeline.digest,
        words=words,
        leaves=leaves,
    )


def _words(settings: Settings, pipeline: Installed, clock: Clock) -> tuple[str, bool]:
    day = clock.now().astimezone(ZoneInfo(settings.appliance.time_zone)).date()
    why = {
        route.name: reasons_on(objections(settings, number, pipeline), day)
        for number, route in enumerate(settings.routes)
        if route.send is not None and pipeline.name in route.run
    }
    release = settings.pipelines[pipeline.name].release
    if not why:
        return "shadow: no route sends its results", False
    if release is None or all(why.values()):
        return f"shadow: {'; '.join(dict.fromkeys(why.values()))}", False
    held = "".join(f"; not by route {name!r}: {text}" for name, text in why.items() if text)
    return f"released as {release.role} by {release.by} on {release.on}{held}", not held
