"""The run's images as files of the program's own: DICOM copied, or NIfTI.

Copies, never links: what the program does to them must not reach the spool. Names are ours: numbers
and UIDs that were checked.
"""

import shutil
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from appliance.core.errors import BadInstance
from appliance.core.uids import is_usable_uid
from pipelines import nifti
from pipelines.base import PipelineInput
from pipelines.command_spec import Convention, InputFormat

_UIDS = ("SeriesInstanceUID", "SOPInstanceUID")


def write_inputs(
    study: PipelineInput, where: Path, form: InputFormat, convention: Convention
) -> None:
    """Write every input of the study below `where`.

    NIfTI: one file an input, `NAME.nii.gz`. DICOM: its files, in a folder of their own where
    there are several inputs; with mercure's convention all in one, as series UID # SOP UID.
    """
    for name, volume in study.volumes.items():
        if form is InputFormat.NIFTI:
            nifti.write(volume, where / f"{name}.nii.gz")
            continue
        alone = len(study.volumes) == 1 or convention is Convention.MERCURE
        folder = where if alone else where / name
        folder.mkdir(exist_ok=True)
        for number, path in enumerate(study.files[name], 1):
            own = _of_mercure(path) if convention is Convention.MERCURE else ""
            target = folder / (own or f"{number:04}.dcm")
            shutil.copyfile(path, target)
            target.chmod(0o600)


def read_header(path: Path) -> Dataset:
    """Return a file's data set without pixels. Raises BadInstance."""
    try:
        return dcmread(path, stop_before_pixels=True)
    except (InvalidDicomError, OSError, EOFError) as error:
        raise BadInstance(f"{path.name}: cannot be read any more: {error}") from error


def _of_mercure(path: Path) -> str:
    try:
        header = dcmread(path, stop_before_pixels=True, specific_tags=list(_UIDS))
    except (InvalidDicomError, OSError, EOFError) as error:
        raise BadInstance(f"{path.name}: cannot be read any more: {error}") from error
    uids = [str(header.get(keyword) or "") for keyword in _UIDS]
    return "#".join(uids) + ".dcm" if all(map(is_usable_uid, uids)) else ""
