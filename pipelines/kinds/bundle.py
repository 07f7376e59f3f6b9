"""Kind `monai-bundle`: a bundle of the MONAI model zoo, unchanged, beside our `pipeline.yaml`.

A bundle is code as a python pipeline is: its configuration has expressions that are evaluated.
"""

import gc
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from monai.data import MetaTensor

from appliance.core.errors import (
    ApplianceError,
    ConfigError,
    InputRefused,
    PermanentPipelineError,
    TransientPipelineError,
)
from appliance.core.model import PipelineResult
from pipelines import nifti
from pipelines.base import PipelineInput, PipelineOutput
from pipelines.findings import describe, parts_of, volume_features
from pipelines.kinds.bundle_metadata import Agreement, agree
from pipelines.kinds.bundle_watch import Watch
from pipelines.kinds.bundle_workflow import FAULTS, Item, Workflow, root_cause
from pipelines.manifest import FILE_NAME, Manifest
from pipelines.resample import Grid, linear, most_likely, nearest
from pipelines.specs import Bundle, Numbers
from pipelines.volume import LabelMap, Labels, Volume

_ENCODE = 0.95
_WHOLE = 1e-3  # a class number that is further from a whole one was interpolated
_HIGHEST = 255  # class number that a label map holds
_SUM = 0.01  # probabilities of classes that exclude one another add up to 1, but for rounding
_SAME_MM = 1e-3
_TEXT = 300  # characters of a library's own message


def build(manifest: Manifest, folder: Path) -> "MonaiBundle":
    """Return the bundle in `folder`, not yet loaded. Raises ConfigError where it cannot fit."""
    bundle = manifest.bundle or Bundle()
    problems = [
        f"{folder / FILE_NAME}:1: weights: {path.relative_to(folder).as_posix()} is not listed "
        "with its SHA-256; list it, or delete it if the bundle does without"
        for path in _unlisted(manifest, bundle, folder)
    ]
    if manifest.parameters:
        problems.append(f"{folder / FILE_NAME}:1: parameters: a bundle reads none; leave them out")
    if problems:
        raise ConfigError(*problems)
    return MonaiBundle(manifest, bundle, folder, agree(manifest, bundle, folder))


def _unlisted(manifest: Manifest, bundle: Bundle, folder: Path) -> Iterator[Path]:
    """Yield the files in the bundle's `models` whose hashes the manifest doesn't have."""
    listed = {folder / weights.file for weights in manifest.weights}
    models = (folder / bundle.inference).parent.parent / "models"
    for path in sorted(models.rglob("*")):
        if path.is_file() and path not in listed and not path.name.startswith("."):
            yield path


class MonaiBundle:
    """One bundle: what the bundle's own workflow marks, on the voxels of our series."""

    def __init__(
        self, manifest: Manifest, bundle: Bundle, folder: Path, agreement: Agreement
    ) -> None:
        self._manifest = manifest
        self._folder = folder
        self._bundle = bundle
        self._agreement = agreement
        self._workflow: Workflow | None = None

    def load(self, device: str) -> None:
        """Make the network and load its weights."""
        config = self._folder / self._bundle.inference
        listed = frozenset((self._folder / item.file).resolve() for item in self._manifest.weights)
        workflow = Workflow(config, self._folder / self._bundle.metadata, device, listed)
        try:
            workflow.load()
        except FAULTS as error:
            traceback.print_exc()
            if is_about_memory(error):
                raise TransientPipelineError(_no_memory(device)) from None
            raise ConfigError(f"{config}:1: {self._why(root_cause(error))}") from None
        self._workflow = workflow

    def _why(self, cause: BaseException) -> str:
        text = f"{type(cause).__name__}: {str(cause)[:_TEXT]}"
        if not isinstance(cause, ImportError):
            return f"the bundle cannot be loaded: {text}"
        optional = ", ".join(self._agreement.optional)
        also = f" (of those that metadata.json names, {optional} are not there)" if optional else ""
        return f"the bundle needs a package that is not installed: {text}{also}"

    def infer(self, study: PipelineInput) -> PipelineOutput:
        """Return the structures that the bundle marks.

        Raises InputRefused where a series is of another modality than the bundle's.
        """
        if self._workflow is None:
            raise PermanentPipelineError("the bundle was not loaded")
        self._check_modalities(study)
        watch = Watch(study.progress, self._agreement.channels)
        try:
            # The prediction is nobody's variable here: MONAI keeps tracebacks of what it could not
            # import, and with them this frame.
            labels = self._labels(
                self._workflow.run(
                    self._write(study), study.scratch, self._agreement.output, watch
                ),
                self._target(study),
            )
        except FAULTS as error:
            told = _plain(error).with_traceback(None)
        else:
            study.progress(_ENCODE, "measure")
            return self._output(study, labels)
        gc.collect()  # the frames of a run that failed hold one another, and its images
        raise told

    def _check_modalities(self, study: PipelineInput) -> None:
        for name, wanted in self._agreement.modalities.items():
            found = study.volumes[name].modality
            if found != wanted:
                raise InputRefused(
                    f"{name}: the bundle was made for {wanted}, this series is {found or 'unknown'}"
                )

    def _write(self, study: PipelineInput) -> Item:
        """Return the item of the bundle's data: by key, a file, or a list with one a channel."""
        item: dict[str, Path | list[Path]] = {}
        target = self._target(study)
        for key, names in self._agreement.feeds.items():
            paths = [study.scratch / f"{name}.nii" for name in names]
            for name, path in zip(names, paths, strict=True):
                nifti.write(_on_grid(study.volumes[name], target, name), path)
            item[key] = paths[0] if len(paths) == 1 else paths
        return item

    def _target(self, study: PipelineInput) -> Volume:
        """Return the volume whose voxels all others are brought to, and the result lies on."""
        return study.volumes[self._input_name]

    @property
    def _input_name(self) -> str:
        return next(iter(self._agreement.feeds.values()))[0]

    def _labels(self, prediction: MetaTensor, volume: Volume) -> Labels:
        """Return the class numbers that the bundle marks, on the volume's voxels."""
        source = Grid(
            shape=tuple(prediction.shape[1:]),
            affine=nifti.other_frame(prediction.affine.numpy().astype(float)),
        )
        values = prediction.as_tensor().float()
        if source.affine.shape != (4, 4) or values.ndim != 4:
            raise PermanentPipelineError(
                f"the bundle's prediction has the shape {tuple(values.shape)}; channels and three "
                "spatial axes are needed"
            )
        if not bool(torch.isfinite(values).all()):
            raise PermanentPipelineError("the bundle's prediction holds values that are no numbers")
        if len(values) == 1:
            return nearest(self._numbers(values[0]), source, _grid(volume))
        return most_likely(self._exclusive(values), source, _grid(volume))

    def _numbers(self, values: torch.Tensor) -> Labels:
        """Return a label map as whole numbers that manifest and metadata know."""
        whole = values.round()
        off = float((values - whole).abs().max())
        if off > _WHOLE:
            raise PermanentPipelineError(
                "the bundle's postprocessing interpolates between class numbers, which makes "
                "others of them: AsDiscreted belongs after Invertd, or nearest_interp: true into it"
            )
        low, high = int(whole.min()), int(whole.max())
        if low < 0 or high > _HIGHEST:
            raise PermanentPipelineError(f"the bundle marks numbers from {low} to {high}")
        numbers = whole.to(torch.uint8).numpy()
        found = {int(number) for number in np.flatnonzero(np.bincount(numbers.ravel()))}
        unknown = sorted(found - self._agreement.numbers - {0})
        if unknown:
            raise PermanentPipelineError(
                f"the bundle marks {', '.join(map(str, unknown))}, which {FILE_NAME} does not have"
            )
        return numbers

    def _exclusive(self, values: torch.Tensor) -> torch.Tensor:
        """Return probabilities or logits of classes of which each voxel has one."""
        if len(values) != self._agreement.channels or self._bundle.numbers is Numbers.OWN:
            raise PermanentPipelineError(
                f"the bundle's prediction has {len(values)} channels: class numbers in one, or the "
                f"{self._agreement.channels} channels that metadata.json promises are needed"
            )
        if (
            float(values.min()) >= 0
            and float(values.max()) <= 1 < float(values.sum(0).max()) - _SUM
        ):
            raise PermanentPipelineError(
                "the bundle's structures overlap: a label map can hold one of them at each voxel"
            )
        return values

    def _output(self, study: PipelineInput, labels: Labels) -> PipelineOutput:
        outputs = self._manifest.outputs
        said = describe(parts_of(labels, outputs), outputs, self._target(study), study.run_uid)
        return PipelineOutput(
            result=PipelineResult(
                findings=said.findings,
                segments=said.segments,
                features=volume_features(said.findings),
            ),
            label_map=LabelMap(array=said.label_map, input_name=self._input_name),
        )


def _grid(volume: Volume) -> Grid:
    return Grid(shape=volume.array.shape, affine=volume.affine)


def _on_grid(volume: Volume, target: Volume, name: str) -> Volume:
    """Return the volume on the target's voxels; what it does not show gets its lowest value."""
    own, wanted = _grid(volume), _grid(target)
    if own.shape == wanted.shape and np.allclose(own.affine, wanted.affine, atol=_SAME_MM):
        return volume
    frame = volume.frame_of_reference_uid
    if frame is None or frame != target.frame_of_reference_uid:
        raise InputRefused(
            f"{name} has not the frame of reference of the first series: where its voxels lie in "
            "the other is not known"
        )
    low = volume.array.min()
    array = linear(volume.array - low, own, wanted) + low
    return replace(volume, array=array, affine=target.affine, spacing=target.spacing)


def is_about_memory(error: BaseException) -> bool:
    """Return whether memory ran out, on a GPU or for the process."""
    cause = root_cause(error)
    return isinstance(
        cause, MemoryError | torch.OutOfMemoryError
    ) or "can't allocate memory" in str(cause)


def _no_memory(where: str) -> str:
    return f"memory ran out on {where}; the log has more"


def _plain(error: BaseException) -> ApplianceError:
    """Return what a run raised in our terms. It sees voxels alone, nothing of the patient."""
    cause = root_cause(error)
    if isinstance(cause, ApplianceError):
        return cause  # of our own, from inside the bundle's run
    traceback.print_exception(error)
    if is_about_memory(error):
        return TransientPipelineError(_no_memory("the device"))
    frames = traceback.extract_tb(cause.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return PermanentPipelineError(
        f"the bundle raised {type(cause).__name__}{place}: {str(cause)[:_TEXT]}"
    )
