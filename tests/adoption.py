"""Objects that a real program made, for tests of what becomes of them."""

import warnings
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from appliance.core.errors import PermanentPipelineError
from appliance.core.model import ObjectKind
from pipelines.base import MadeObjects, PipelineOutput
from pipelines.encode import EncodedObject, encode
from pipelines.encode.made import kind_of
from tests import phantoms
from tests.counterparts import dciodvfy_errors
from tests.phantoms import Stored

KINDS = frozenset({ObjectKind.SEG, ObjectKind.SR, ObjectKind.SC, ObjectKind.PDF})


@dataclass(frozen=True)
class Given:
    """A study, and what a real program made of it, twice."""

    series: Stored
    once: PipelineOutput
    again: PipelineOutput

    def file(self, kind: ObjectKind) -> Dataset:
        """Return one object as the program wrote it."""
        assert self.once.made is not None
        datasets = [dcmread(BytesIO(data)) for _, data in self.once.made.files()]
        return next(item for item in datasets if kind_of(str(item.SOPClassUID)) is kind)

    def errors(self, kind: ObjectKind, folder: Path) -> list[str]:
        """Return what the validator says of an object as the program wrote it."""
        path = folder / "before.dcm"
        path.write_bytes(bytes_of(self.file(kind)))
        return dciodvfy_errors(path)

    def encode(self, output: PipelineOutput, **context: Any) -> tuple[EncodedObject, ...]:
        """Return what becomes of it."""
        frames = {frame.sop_instance_uid for frame in self.series.volume.frames}
        given = frozenset({self.series.volume.series_instance_uid, *frames})
        run = phantoms.context(**({"adopt": KINDS, "given": given} | context))
        return encode(run, self.series.paths, self.series.volume, output)

    def adopt(self, *datasets: Dataset, **context: Any) -> list[Dataset]:
        """Return the objects that these become."""
        output = PipelineOutput(result=self.once.result, label_map=None, made=made_of(*datasets))
        return [dcmread(BytesIO(item.data)) for item in self.encode(output, **context)]

    def refused(self, *datasets: Dataset, **context: Any) -> str:
        """Return why these are not taken."""
        with pytest.raises(PermanentPipelineError) as error:
            self.adopt(*datasets, **context)
        return str(error.value)


def made_of(*datasets: Dataset) -> MadeObjects:
    return MadeObjects.of([(f"{n}.dcm", bytes_of(item)) for n, item in enumerate(datasets)])


def bytes_of(dataset: Dataset) -> bytes:
    buffer = BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def without_notes(output: PipelineOutput) -> PipelineOutput:
    """Return the output as if no parameter had been changed for it."""
    return replace(output, result=replace(output.result, notes=()))
