"""Whatever the kind of a pipeline and however its images are stored: what it marks lies there.

A phantom that looks different from every side goes through a whole run: read from files, inferred
in a child process, encoded. The Segmentation is read with pydicom alone, and each of its pixels
must be marked exactly where the phantom is at that pixel's own place in the patient.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from appliance.core.clock import SystemClock
from appliance.core.model import ObjectKind
from appliance.jobs.local import LocalExecutor
from pipelines.manifest import load_manifest
from tests import bundles, commands, networks
from tests.builders import set_pixels, write, write_all
from tests.jobs_world import FOLDERS
from tests.networks import Format
from tests.phantoms import STORAGES, enhanced, labels_at, plane_points, slices, truth
from tests.runs import whole_run

# The marked parts are of different brightness, so that no kind can take one for the other.
STEP = 600
STEPS = f"""
preprocess:
  - Orientation: {{axcodes: RAS}}
  - ScaleIntensityRange: {{a_min: 0, a_max: {2 * STEP}}}
"""


def phantom(storage: str) -> list[Dataset]:
    """Background 0, the box STEP, the ball twice that."""
    datasets = slices(STORAGES[storage])
    for dataset in datasets:
        set_pixels(dataset, STEP * truth(dataset).astype(np.uint16))
    return datasets


def upright(folder: Path) -> list[Path]:
    return write_all(phantom("sagittal"), folder)


def oblique(folder: Path) -> list[Path]:
    return write_all(phantom("oblique"), folder)


def reversed_files(folder: Path) -> list[Path]:
    return write_all(phantom("axial, columns flipped")[::-1], folder)


def multi_frame(folder: Path) -> list[Path]:
    return [write(enhanced(phantom("oblique")[::-1]), folder / "enhanced.dcm")]


STORED: Mapping[str, Callable[[Path], list[Path]]] = {
    "sagittal": upright,
    "oblique": oblique,
    "reversed": reversed_files,
    "multi-frame": multi_frame,
}
# How the slices lie where the name above is not that of an orientation.
ORIENTATION = {"reversed": "axial, columns flipped", "multi-frame": "oblique"}


def python_class(folder: Path) -> Path:
    return Path(shutil.copytree(FOLDERS / "marks", folder))


def monai_bundle(folder: Path) -> Path:
    scale = bundles.SCALE | {"a_max": 2 * STEP}
    steps = {"_target_": "Compose", "transforms": [*bundles.LOAD, bundles.ORIENT, scale]}
    return bundles.intensity_bundle(folder, written=bundles.config(preprocessing=steps))


def network(kind: Format) -> Callable[[Path], Path]:
    return lambda folder: networks.pipeline_folder(folder, networks.nearest(), kind, keys=STEPS)


def command(folder: Path) -> Path:
    outputs = [commands.BRIGHT, commands.BRIGHT | {"label": 2, "name": "Brighter"}]
    return commands.write_folder(
        folder,
        "marking",
        manifest={
            "outputs": outputs,
            "parameters": [{"name": "do", "default": "labels", "meaning": "What it does."}],
        },
        input="nifti",
        labels={"file": "labels.nii.gz"},
    )


KINDS: Mapping[str, Callable[[Path], Path]] = {
    "python": python_class,
    "monai-bundle": monai_bundle,
    "onnx": network(Format.ONNX),
    "torch, exported": network(Format.EXPORTED),
    "torch, TorchScript": network(Format.TORCHSCRIPT),
    "command": command,
}


@pytest.fixture(scope="module")
def executor() -> Iterator[LocalExecutor]:
    executor = LocalExecutor(warm_children=len(KINDS), clock=SystemClock())
    yield executor
    executor.close()


@pytest.fixture(scope="module", params=KINDS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return KINDS[request.param](tmp_path_factory.mktemp("kind") / "p")


def segmentation(executor: LocalExecutor, folder: Path, files: list[Path], out: Path) -> Dataset:
    """Run the pipeline in `folder` and return its Segmentation, from a file."""
    _, made = whole_run(executor, folder, {load_manifest(folder).inputs[0].name: files})
    (seg,) = (item for item in made if item.kind == ObjectKind.SEG)
    out.write_bytes(seg.data)
    return dcmread(out)


def frames(seg: Dataset) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield for each frame its Segment Number, its mask, and the place of each of its pixels."""
    shared = seg.SharedFunctionalGroupsSequence[0]
    spacing = [float(value) for value in shared.PixelMeasuresSequence[0].PixelSpacing]
    orientation = shared.PlaneOrientationSequence[0].ImageOrientationPatient
    for mask, groups in zip(
        seg.pixel_array.reshape(-1, seg.Rows, seg.Columns),
        seg.PerFrameFunctionalGroupsSequence,
        strict=True,
    ):
        number = int(groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        position = groups.PlanePositionSequence[0].ImagePositionPatient
        places = plane_points(
            [float(value) for value in position],
            [float(value) for value in orientation],
            spacing,
            (seg.Rows, seg.Columns),
        )
        yield number, mask.astype(bool), places


@pytest.mark.parametrize("storage", STORED)
def test_what_is_marked_lies_where_it_is_in_the_patient(
    storage: str, folder: Path, executor: LocalExecutor, tmp_path: Path
) -> None:
    files = STORED[storage](tmp_path / "images")
    seg = segmentation(executor, folder, files, tmp_path / "seg.dcm")
    marked = {1: 0, 2: 0}
    for number, mask, places in frames(seg):
        np.testing.assert_array_equal(mask, labels_at(places) == number)
        marked[number] += int(mask.sum())
    # And nothing of it is missing: a frame without a mark is not stored.
    source = [truth(dataset) for dataset in phantom(ORIENTATION.get(storage, storage))]
    assert marked == {n: sum(int((part == n).sum()) for part in source) for n in (1, 2)}
