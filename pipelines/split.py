"""One series with several images at each place → the files of one of its volumes, or of each.

Time points, echoes, phases and b-values often share a series. Nothing is guessed: a manifest's
`split` names the attribute that tells them apart, and which of them is wanted.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset

from appliance.core.errors import BadInstance, InputRefused
from pipelines.inputs import Split, Take
from pipelines.series import READ_ERRORS

_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")
MAX_PARTS = 60  # volumes travel as one descriptor each


def split_files(
    name: str, paths: Sequence[Path], rule: Split | None
) -> Mapping[str, tuple[Path, ...]]:
    """Return the files of each volume that the input `name` gives.

    Without a rule, all under `name`. With `take: all`, "name.1", "name.2", … in rising order of
    the attribute; else the one wanted under `name`. Raises BadInstance for a file that cannot be
    read, InputRefused where the attribute is missing or the wanted volume is not there.
    """
    if rule is None:
        return {name: tuple(paths)}
    parts = _parts(name, paths, rule)
    if rule.take is Take.ALL:
        if len(parts) > MAX_PARTS:
            raise InputRefused(f"{name}: {rule.by} has {len(parts)} values; at most {MAX_PARTS}")
        return {f"{name}.{number}": part for number, part in enumerate(parts.values(), 1)}
    if rule.take is Take.NEAREST:
        return {name: _nearest(name, parts, rule)}
    ordered = list(parts.values())
    return {name: ordered[0 if rule.take is Take.FIRST else -1]}


def _parts(name: str, paths: Sequence[Path], rule: Split) -> Mapping[float, tuple[Path, ...]]:
    """Return the files by the attribute's value, in rising order."""
    found: dict[float, list[Path]] = {}
    for path in paths:
        found.setdefault(_value(name, path, rule.by), []).append(path)
    return {value: tuple(found[value]) for value in sorted(found)}


def _value(name: str, path: Path, keyword: str) -> float:
    try:
        dataset = dcmread(path, stop_before_pixels=True, specific_tags=[keyword, "NumberOfFrames"])
        text = _first(dataset, keyword)
        frames = int(dataset.get("NumberOfFrames") or 1)
    except READ_ERRORS as error:
        raise BadInstance(f"{path.name}: cannot be read as DICOM: {error}") from error
    if frames != 1:
        raise InputRefused(f"{name}: is split by {keyword}, which multi-frame images do not allow")
    # Numbers compare as they are, and so do times of day: HHMMSS.FFFFFF within one day.
    if not _NUMBER.fullmatch(text):
        raise InputRefused(f"{name}: an image has no number in {keyword}, by which it is split")
    return float(text)


def _first(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    if isinstance(value, str) or not isinstance(value, Sequence):
        return "" if value is None else str(value).strip()
    return str(value[0]).strip() if value else ""


def _nearest(name: str, parts: Mapping[float, tuple[Path, ...]], rule: Split) -> tuple[Path, ...]:
    wanted = rule.value or 0.0
    best = min(parts, key=lambda value: abs(value - wanted))
    if abs(best - wanted) > rule.within:
        raise InputRefused(
            f"{name}: the nearest {rule.by} to {wanted:g} is {best:g}; within {rule.within:g} is "
            "needed"
        )
    return parts[best]
