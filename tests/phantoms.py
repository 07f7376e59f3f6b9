"""A phantom that looks different from every side, stored in every way, and what a run says of it.

series = stored(folder, AXIAL)             # files, the volume read from them
output = run_output(series.volume)         # marks the box (patient's left) and the ball
truth(dataset)                             # what must be marked, by that slice's own header
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, generate_uid

from appliance.core.model import (
    Code,
    Finding,
    Measurement,
    PipelineResult,
    Region,
    Segment,
    Side,
)
from appliance.core.uids import uid_from_name
from pipelines.base import PipelineOutput
from pipelines.encode import EncodedObject, RunContext, encode
from pipelines.series import read_volume
from pipelines.volume import LabelMap, Volume
from tests.builders import MR, PATIENT, STUDY, instance, mr_slices, set_pixels, write, write_all

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
STORAGES = {
    "axial": AXIAL,
    "sagittal": (0.0, 1.0, 0.0, 0.0, 0.0, -1.0),
    "coronal": (1.0, 0.0, 0.0, 0.0, 0.0, -1.0),
    "axial, rows flipped": (1.0, 0.0, 0.0, 0.0, -1.0, 0.0),
    "axial, columns flipped": (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    "axial, rows and columns swapped": (0.0, 1.0, 0.0, 1.0, 0.0, 0.0),
    "oblique": (0.8, 0.6, 0.0, -0.36, 0.48, -0.8),
}
SHAPE = (14, 22, 18)  # slices, rows, columns
SPACING = (1.25, 1.0)  # mm between rows, between columns
GAP = 1.5

HIPPOCAMPUS = Code(value="5366008", scheme="SCT", meaning="Hippocampus")
BRAIN_STEM = Code(value="15926001", scheme="SCT", meaning="Brain stem")
ANATOMY = Code(value="91723000", scheme="SCT", meaning="Anatomical Structure")
VOLUME = Code(value="118565006", scheme="SCT", meaning="Volume")
MILLILITRE = Code(value="mL", scheme="UCUM", meaning="milliliter")


def box(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which LPS points lie in the box at the left, front and top."""
    low, high = np.array([1.0, -7.0, 1.0]), np.array([6.0, -1.5, 7.0])
    return np.asarray(np.all((points >= low) & (points <= high), axis=-1))


def ball(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which LPS points lie in the ball at the right, back and bottom."""
    return np.asarray(np.linalg.norm(points - np.array([-4.0, 4.0, -4.0]), axis=-1) <= 3.5)


def labels_at(points: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return the label at each LPS point: 1 in the box, 2 in the ball."""
    return (box(points) + 2 * ball(points)).astype(np.uint8)


def plane_points(
    position: Sequence[float],
    orientation: Sequence[float],
    spacing: Sequence[float],
    matrix: tuple[int, int],
) -> NDArray[np.float64]:
    """Return the LPS point of each pixel of one frame (PS3.3 C.7.6.2.1.1)."""
    row, column = np.mgrid[: matrix[0], : matrix[1]]
    along_row, along_column = np.array(orientation[:3]), np.array(orientation[3:])
    return np.asarray(
        np.array(position)
        + column[..., None] * spacing[1] * along_row
        + row[..., None] * spacing[0] * along_column
    )


def truth(dataset: Dataset) -> NDArray[np.uint8]:
    """Return the labels of a single-frame object, from nothing but its own header."""
    points = plane_points(
        [float(x) for x in dataset.ImagePositionPatient],
        [float(x) for x in dataset.ImageOrientationPatient],
        [float(x) for x in dataset.PixelSpacing],
        (dataset.Rows, dataset.Columns),
    )
    return labels_at(points)


def slices(orientation: tuple[float, ...] = AXIAL, **attributes: Any) -> list[Dataset]:
    """Return the phantom as a single-frame MR series; marked voxels are bright."""
    count, rows, columns = SHAPE
    along_row, along_column = np.array(orientation[:3]), np.array(orientation[3:])
    normal = np.cross(along_row, along_column)
    centre = (
        along_row * SPACING[1] * (columns - 1) / 2
        + along_column * SPACING[0] * (rows - 1) / 2
        + normal * GAP * (count - 1) / 2
    )
    datasets = mr_slices(
        slices=count,
        rows=rows,
        columns=columns,
        spacing=SPACING,
        gap=GAP,
        origin=tuple(-centre),
        orientation=orientation,
        **attributes,
    )
    for dataset in datasets:
        set_pixels(dataset, (100 + 900 * (truth(dataset) > 0)).astype(np.uint16))
    return datasets


def enhanced(datasets: Sequence[Dataset], **attributes: Any) -> Dataset:
    """Return the slices as one enhanced multi-frame object, frames in the order given."""
    first = datasets[0]
    shared = {
        **PATIENT,
        **STUDY,
        **MR,
        "StudyInstanceUID": first.StudyInstanceUID,
        "SeriesInstanceUID": generate_uid(),
        "FrameOfReferenceUID": first.FrameOfReferenceUID,
        **attributes,
    }
    whole = instance(EnhancedMRImageStorage, ExplicitVRLittleEndian, shared)
    set_pixels(whole, first.pixel_array)
    whole.NumberOfFrames = len(datasets)
    whole.PixelData = b"".join(dataset.PixelData for dataset in datasets)
    whole.SharedFunctionalGroupsSequence = [
        _groups(
            PixelMeasuresSequence={
                "PixelSpacing": first.PixelSpacing,
                "SliceThickness": first.SliceThickness,
            },
            PlaneOrientationSequence={"ImageOrientationPatient": first.ImageOrientationPatient},
        )
    ]
    whole.PerFrameFunctionalGroupsSequence = [
        _groups(
            FrameContentSequence={"StackID": "1", "InStackPositionNumber": number},
            PlanePositionSequence={"ImagePositionPatient": dataset.ImagePositionPatient},
        )
        for number, dataset in enumerate(datasets, 1)
    ]
    return whole


def _groups(**groups: dict[str, object]) -> Dataset:
    whole = Dataset()
    for keyword, values in groups.items():
        item = Dataset()
        for name, value in values.items():
            setattr(item, name, value)
        setattr(whole, keyword, [item])
    return whole


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stored:
    """A series on disk and the volume read from it."""

    datasets: list[Dataset]
    paths: list[Path]
    volume: Volume


def stored(folder: Path, datasets: list[Dataset] | None = None) -> Stored:
    """Write the datasets (default: the axial phantom) and read them as a volume."""
    datasets = slices() if datasets is None else datasets
    paths = write_all(datasets, folder)
    return Stored(datasets=datasets, paths=paths, volume=read_volume(paths))


def stored_enhanced(folder: Path, datasets: Sequence[Dataset]) -> Stored:
    """Write one enhanced object and read it as a volume; `datasets` stay the truth by frame."""
    path = write(enhanced(datasets), folder / "enhanced.dcm")
    return Stored(datasets=list(datasets), paths=[path], volume=read_volume([path]))


def volume_labels(volume: Volume) -> NDArray[np.uint8]:
    """Return the labels on the volume's voxels, by its affine."""
    indices = np.moveaxis(np.indices(volume.array.shape), 0, -1)
    return labels_at(indices @ volume.affine[:3, :3].T + volume.affine[:3, 3])


def segment(number: int, name: str, structure: Code, side: Side | None) -> Segment:
    """Return a segment; its tracking UID is made from its name and side."""
    return Segment(
        number=number,
        name=name,
        structure=structure,
        category=ANATOMY,
        side=side,
        tracking_uid=uid_from_name("phantom", name, str(side)),
        color=(255, 20 * number, 0),
    )


BOX = segment(1, "Hippocampus", HIPPOCAMPUS, Side.LEFT)
BALL = segment(2, "Brain stem", BRAIN_STEM, None)


def finding(of: Segment, series_instance_uid: str, value: float | None, why: str = "") -> Finding:
    """Return the segment's volume as a finding."""
    return Finding(
        name=of.name,
        structure=of.structure,
        side=of.side,
        measurements=(Measurement(concept=VOLUME, value=value, unit=MILLILITRE, not_measured=why),),
        region=Region(segment_number=of.number, series_instance_uid=series_instance_uid),
        tracking_uid=of.tracking_uid,
    )


def run_output(
    volume: Volume,
    *,
    segments: tuple[Segment, ...] = (BOX, BALL),
    labels: NDArray[np.uint8] | None = None,
    notes: tuple[str, ...] = (),
) -> PipelineOutput:
    """Return the output of a run that marks the phantom (or `labels`) and measures it."""
    marked = volume_labels(volume) if labels is None else labels
    findings = tuple(
        finding(
            item,
            volume.series_instance_uid,
            float(np.count_nonzero(marked == item.number)) * volume.voxel_ml,
        )
        for item in segments
    )
    return PipelineOutput(
        result=PipelineResult(findings=findings, segments=segments, features=(), notes=notes),
        label_map=LabelMap(array=marked, input_name="t1"),
    )


def with_findings(output: PipelineOutput, *findings: Finding) -> PipelineOutput:
    """Return the output with other findings."""
    return replace(output, result=replace(output.result, findings=findings))


def context(**changes: Any) -> RunContext:
    """Return a run of a research pipeline, with the given fields changed."""
    run = RunContext(
        run_uid="2.25.123456789",
        created_at=datetime(2026, 7, 3, 22, 30, 15, 250000, tzinfo=UTC),
        time_zone=ZoneInfo("Europe/Berlin"),
        pipeline="brain-mr",
        pipeline_version="1.0.0",
        pipeline_digest="ab" * 32,
        title="Volumes of the brain",
        manufacturer="The model's makers",
        regulatory_label="Research, not for diagnosis",
        device_serial="CDA-0001",
        institution="Example Hospital",
    )
    return replace(run, **changes)


def objects(series: Stored, **changes: Any) -> tuple[EncodedObject, ...]:
    """Return what a run on the series is encoded to; `changes` are the context's."""
    return encode(context(**changes), series.paths, series.volume, run_output(series.volume))
