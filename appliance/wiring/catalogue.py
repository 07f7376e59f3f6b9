"""The pipelines that the settings name, as they lie on disk now."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from appliance.core.clock import Clock
from appliance.core.errors import ConfigError
from appliance.intake.options import InstalledVersion
from appliance.jobs.folders import Folders
from appliance.settings.model import Settings
from appliance.trial.choose import pipeline_inputs
from pipelines import weights
from pipelines.coding import verify_codes
from pipelines.folders import find_folder
from pipelines.manifest import FILE_NAME, Manifest
from pipelines.parameters import mistakes

_LOOK_EVERY = 1.0  # seconds; a look is a stat of each file


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A pipeline's folder, what its manifest says, and the SHA-256 of the folder."""

    name: str
    folder: Path
    manifest: Manifest
    digest: str

    def version(self) -> InstalledVersion:
        """Return what intake is told of it."""
        return InstalledVersion(
            version=self.manifest.version,
            digest=self.digest,
            inputs=pipeline_inputs(self.manifest),
        )


def installed(settings: Settings) -> Mapping[str, Installed]:
    """Return every pipeline of the settings. Raises ConfigError with the mistakes of all."""
    folders = Folders()
    found: dict[str, Installed] = {}
    problems: list[str] = []
    for name in settings.pipelines:
        try:
            found[name] = install(settings, name, folders)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(*problems)
    return found


def install(settings: Settings, name: str, folders: Folders) -> Installed:
    """Return one pipeline of the settings; `folders` remembers what it read.

    Raises ConfigError with every mistake in its manifest and in the parameters that are set.
    """
    pipeline = settings.pipelines[name]
    folder = find_folder(name, pipeline.path)
    manifest = folders.manifest_of(folder)
    wrong = [
        settings.problem(("pipelines", name, "parameters", key), text)
        for key, text in mistakes(manifest.parameters, pipeline.parameters)
    ]
    if wrong:
        raise ConfigError(*wrong)
    return Installed(name=name, folder=folder, manifest=manifest, digest=folders.digest_of(folder))


class FolderWatch:
    """Tells once when another version of a pipeline lies in its folder."""

    def __init__(self, pipelines: Mapping[str, Installed], clock: Clock) -> None:
        self._known = {one.folder: one.digest for one in pipelines.values()}
        self._folders = Folders()
        self._clock = clock
        self._looked_at = clock.monotonic()

    def saw_another_version(self) -> bool:
        """Return whether a folder is another one than at the last look; looks now and then."""
        now = self._clock.monotonic()
        if now - self._looked_at < _LOOK_EVERY:
            return False
        self._looked_at = now
        found = {folder: self._digest(folder) for folder in self._known}
        is_news = found != self._known
        self._known = found
        return is_news

    def _digest(self, folder: Path) -> str:
        try:
            return self._folders.digest_of(folder)
        except (ConfigError, OSError):  # it is being exchanged just now
            return self._known[folder]


def verify_weights(pipelines: Mapping[str, Installed]) -> None:
    """Raise ConfigError for every weight file whose SHA-256 is not its manifest's."""
    _verify(pipelines, lambda one: weights.verify(one.manifest, one.folder))


def verify_meanings(pipelines: Mapping[str, Installed]) -> None:
    """Raise ConfigError for every code that a manifest has under a wrong meaning."""
    _verify(pipelines, lambda one: verify_codes(one.manifest, one.folder / FILE_NAME))


def _verify(pipelines: Mapping[str, Installed], check: Callable[[Installed], None]) -> None:
    problems: list[str] = []
    for pipeline in pipelines.values():
        try:
            check(pipeline)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(*problems)
