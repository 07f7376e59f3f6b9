"""What the training volumes are like: where a study lies outside, the model is guessing.

Measured by what measures a study (`pipelines.quality`), so that the two can be compared.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import nibabel
import numpy as np

from pipelines.hippocampus_mr.scripts.data import folders, labelled
from pipelines.hippocampus_mr.scripts.measure import PARTS
from pipelines.hippocampus_mr.scripts.report import Rows, volumes
from pipelines.inputs import Measure
from pipelines.quality import MEASURES
from pipelines.volume import Volume

Span = Mapping[str, float]
# Not those in the volumes' own units, which differ by a factor of 10,000.
WATCHED = (
    Measure.LARGEST_SPACING,
    Measure.SMALLEST_SPACING,
    Measure.LEFT_RIGHT,
    Measure.ANTERIOR_POSTERIOR,
    Measure.HEAD_FEET,
    Measure.INTENSITY_SPREAD,
    Measure.SIGNAL_TO_NOISE,
)
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def training_range(data: Path, tested: Rows) -> Mapping[str, Span]:
    """Return least, most and percentiles of what can be known of a study.

    `tested` are the cross-validation's rows: the volumes that the model gives are those of images
    that it had not seen.
    """
    images, _ = folders(data)
    read = [read_nifti(images / item.volume) for item in labelled()]
    found = {
        measure.words: [float(MEASURES[measure](volume)) for volume in read] for measure in WATCHED
    }
    for part in PARTS:
        model, label = volumes(tested, part)
        found |= {f"{part}, by the model, in mL": model, f"{part}, by the labels, in mL": label}
    return {name: _span(values) for name, values in found.items()}


def read_nifti(path: Path) -> Volume:
    """Return a NIfTI volume, axes (x, y, z) in RAS, as one of ours."""
    image = nibabel.load(path)
    sizes = [float(size) for size in image.header.get_zooms()[:3]]
    affine = (_RAS_TO_LPS @ image.affine)[:, [2, 1, 0, 3]]
    array = np.ascontiguousarray(np.asarray(image.dataobj, dtype=np.float32).transpose())
    return Volume(
        array=array,
        affine=affine,
        spacing=(sizes[2], sizes[1], sizes[0]),
        frames=(),
        series_instance_uid="",
        frame_of_reference_uid=None,
        modality="MR",
        attributes={},
    )


def _span(values: Sequence[float]) -> Span:
    low, high = np.percentile(values, (0.5, 99.5))
    said = {"least": min(values), "p0_5": low, "p99_5": high, "most": max(values)}
    return {name: round(float(value), 3) for name, value in said.items()}
