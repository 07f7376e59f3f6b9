"""The pipeline that is tried: its folder, what its manifest says, how it is run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from appliance.core.clock import Clock
from appliance.core.errors import ConfigError
from appliance.jobs.options import PipelineOptions
from appliance.jobs.phases import Executor, Phases, Run
from appliance.trial.report import About, WeightsLine
from pipelines import weights
from pipelines.coding import verify_codes
from pipelines.manifest import FILE_NAME, Manifest, digest, load_manifest, read_card


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One pipeline. `digest` is the SHA-256 of its folder as it was when it was looked at."""

    options: PipelineOptions
    manifest: Manifest
    digest: str

    def phases(
        self,
        run_uid: str,
        files: Mapping[str, Sequence[Path]],
        executor: Executor,
        clock: Clock,
        tell: Callable[[float, str], None],
        seconds: dict[str, float],
    ) -> Phases:
        """Return the phases of one run on these files."""
        run = Run(
            pipeline=self.options,
            manifest=self.manifest,
            digest=self.digest,
            run_uid=run_uid,
            files=files,
        )
        return Phases(run, executor, clock, tell, seconds)


def subject_in(folder: Path, device: str) -> Subject:
    """Return the pipeline in `folder`, to be run with the limits that a worker has by default.

    Raises ConfigError with every mistake in the manifest, the codes, the weights and the card.
    """
    if not (folder / FILE_NAME).is_file():
        raise ConfigError(f"{folder}: is no pipeline's folder: it has no {FILE_NAME}")
    manifest = load_manifest(folder)
    verify(manifest, folder)
    name = manifest.name
    return Subject(
        options=PipelineOptions(name=name, folder=folder.resolve(), device=device),
        manifest=manifest,
        digest=digest(folder),
    )


def verify(manifest: Manifest, folder: Path) -> None:
    """Raise ConfigError with every mistake that the manifest alone does not show.

    Codes under another meaning, an empty card, weights with another SHA-256.
    """
    problems: list[str] = []
    if not read_card(manifest, folder).strip():
        problems.append(f"{folder / manifest.card}:1: is empty; say what the model is for")
    for check in (
        partial(verify_codes, manifest, folder / FILE_NAME),
        partial(weights.verify, manifest, folder),
    ):
        try:
            check()
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(*problems)


def _unsaid(manifest: Manifest) -> tuple[str, ...]:
    """Return what a reader would want to know and the manifest does not say."""
    return tuple(
        f"{key}: not said; readers will see that it is missing"
        for key in ("population", "training", "metrics")
        if not getattr(manifest, key)
    )


def about(subject: Subject) -> About:
    """Return what the pipeline's folder says."""
    manifest = subject.manifest
    return About(
        name=manifest.name,
        version=manifest.version,
        kind=manifest.kind.value,
        digest=subject.digest,
        title=manifest.title,
        manufacturer=manifest.manufacturer,
        intended_use=manifest.intended_use,
        label=manifest.regulatory.label,
        clinical_role=manifest.clinical_role.value,
        licence=manifest.licence,
        card=manifest.card,
        weights=tuple(
            WeightsLine(file=one.file, sha256=one.sha256, licence=one.licence)
            for one in manifest.weights
        ),
        outputs=len(manifest.outputs),
        unsaid=_unsaid(manifest),
    )
