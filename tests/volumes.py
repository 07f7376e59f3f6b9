"""Volumes for tests that need no files."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipelines.base import PipelineInput, Progress
from pipelines.specs import ParameterValue
from pipelines.volume import FrameRef, Volume


def volume(
    description: str = "t1", *, shape: tuple[int, int, int] = (4, 5, 6), fill: float = 1.0
) -> Volume:
    """Return an MR volume whose series description is `description`."""
    return Volume(
        array=np.full(shape, fill, dtype=np.float32),
        affine=np.eye(4),
        spacing=(1.0, 1.0, 1.0),
        frames=tuple(
            FrameRef(
                sop_instance_uid=f"2.25.{number + 1}",
                sop_class_uid="1.2.840.10008.5.1.4.1.1.4",
                frame_number=None,
                path_index=number,
            )
            for number in range(shape[0])
        ),
        series_instance_uid="2.25.1000",
        frame_of_reference_uid="2.25.1001",
        modality="MR",
        attributes={
            "SeriesDescription": (description,),
            "AccessionNumber": ("ACC-7731",),
            "EchoTime": (3.0,),
            "ScanOptions": (),
        },
    )


def given(
    volumes: Mapping[str, Volume],
    *,
    progress: Progress = lambda _done, _phase: None,
    files: Mapping[str, tuple[Path, ...]] | None = None,
    scratch: Path = Path("scratch-that-is-not-there"),
    parameters: Mapping[str, ParameterValue] | None = None,
) -> PipelineInput:
    """Return what a pipeline is asked to infer from; by default without files of its own."""
    return PipelineInput(
        volumes=volumes,
        files=files or {},
        scratch=scratch,
        parameters=parameters or {},
        run_uid="1.2.3",
        progress=progress,
    )
