"""The pipelines that the settings name, as they lie on disk now."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from appliance.core.errors import ConfigError
from appliance.intake.options import PipelineRelease
from appliance.settings.model import Settings
from appliance.trial.choose import pipeline_inputs
from pipelines import weights
from pipelines.folders import find_folder
from pipelines.manifest import Manifest, digest, load_manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A pipeline's folder, what its manifest says, and the SHA-256 of the folder."""

    name: str
    folder: Path
    manifest: Manifest
    digest: str

    def release(self) -> PipelineRelease:
        """Return what intake is told of it."""
        return PipelineRelease(
            version=self.manifest.version,
            digest=self.digest,
            inputs=pipeline_inputs(self.manifest),
        )


def installed(settings: Settings) -> Mapping[str, Installed]:
    """Return every pipeline of the settings. Raises ConfigError with the mistakes of all."""
    found: dict[str, Installed] = {}
    problems: list[str] = []
    for name, pipeline in settings.pipelines.items():
        try:
            folder = find_folder(name, pipeline.path)
            manifest = load_manifest(folder)
            found[name] = Installed(
                name=name, folder=folder, manifest=manifest, digest=digest(folder)
            )
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(*problems)
    return found


def verify_weights(pipelines: Mapping[str, Installed]) -> None:
    """Raise ConfigError for every weight file whose SHA-256 is not its manifest's."""
    problems: list[str] = []
    for pipeline in pipelines.values():
        try:
            weights.verify(pipeline.manifest, pipeline.folder)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(*problems)
