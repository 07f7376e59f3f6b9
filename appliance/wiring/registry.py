"""What is installed goes into the store's registry, with what the settings say of it."""

from collections.abc import Mapping
from pathlib import Path

from appliance.settings.work import Release
from appliance.wiring.catalogue import Installed
from appliance.wiring.releases import names
from appliance.wiring.site import Site
from pipelines.manifest import FILE_NAME, Manifest, read_card
from results_store.registry import PipelineRelease, PipelineVersion


def register(site: Site, catalogue: Mapping[str, Installed]) -> None:
    """Note every pipeline as it lies in its folder now."""
    for name, pipeline in catalogue.items():
        release = site.settings.pipelines[name].release
        version = version_of(pipeline.manifest, pipeline.folder, pipeline.digest)
        site.store.registry.note(version, _noted(release, pipeline), site.clock.now())


def version_of(manifest: Manifest, folder: Path, digest: str) -> PipelineVersion:
    """Return the version that lies in `folder` as the registry keeps it."""
    return PipelineVersion(
        digest=digest,
        name=manifest.name,
        version=manifest.version,
        manifest=(folder / FILE_NAME).read_text(encoding="utf-8"),
        card=read_card(manifest, folder),
    )


def _noted(release: Release | None, pipeline: Installed) -> PipelineRelease | None:
    """Return the release if it is of this very version."""
    if release is None or not names(release, pipeline):
        return None
    return PipelineRelease(
        role=release.role.value,
        released_by=release.by,
        released_on=release.on.isoformat(),
        reference=release.reference,
        approval=release.approval,
        ends_on="" if release.until is None else release.until.isoformat(),
    )
