"""One run's output → its objects."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from appliance.core.errors import PermanentPipelineError
from appliance.core.model import ObjectKind, PipelineResult
from pipelines.base import PipelineOutput
from pipelines.encode.adopt import adopt
from pipelines.encode.context import EncodedObject, RunContext
from pipelines.encode.finish import finish
from pipelines.encode.seg import build_segmentation, number_segments
from pipelines.encode.source import Source, read_source
from pipelines.encode.sr import build_report
from pipelines.volume import LabelMap, Volume


def encode(
    context: RunContext,
    source_paths: Sequence[Path],
    volume: Volume,
    output: PipelineOutput,
    *,
    others: Sequence[Volume] = (),
) -> tuple[EncodedObject, ...]:
    """Return the run's Segmentation, where it marked anything, its report, and what it made.

    `volume` is the one that the label map lies on (without label map: any input of the run),
    read from `source_paths` in this order; `others` are the run's other inputs, which the report
    names as evidence. Raises BadInstance for sources that are not there any more,
    PermanentPipelineError for an output that contradicts itself or its source, and for objects of
    its own that are not to be taken.
    """
    with warnings.catch_warnings():
        # What the source writes oddly is copied, not judged.
        warnings.simplefilter("ignore", UserWarning)
        source = read_source(source_paths, volume, others)
        return tuple(_objects(context, source, volume, output))


def _objects(
    context: RunContext, source: Source, volume: Volume, output: PipelineOutput
) -> Iterator[EncodedObject]:
    result, label_map = output.result, output.label_map
    numbers = _numbers(volume, result, label_map)
    texts = _texts(result)
    if label_map is not None and numbers:
        if not source.has_place:
            raise PermanentPipelineError(
                "structures are marked on images that say where they lie in the patient, and "
                f"{label_map.input_name} does not; of radiographs, scores and findings can be told"
            )
        segmentation = build_segmentation(
            context, source, result.segments, label_map.array, numbers
        )
        yield finish(segmentation, ObjectKind.SEG, context, source, texts)
    # Where the pipeline made its own, no report of ours says that nothing was found.
    if output.made is None or result.findings or result.notes:
        report = build_report(context, source, result, numbers, is_all=output.made is None)
        yield finish(report, ObjectKind.SR, context, source, texts)
    if output.made is not None:
        yield from adopt(context, source, output.made)


def _numbers(
    volume: Volume, result: PipelineResult, label_map: LabelMap | None
) -> Mapping[int, int]:
    if label_map is None:
        return {}
    if label_map.array.shape != volume.array.shape:
        raise PermanentPipelineError(
            f"the label map is {label_map.array.shape}, its input volume {volume.array.shape}"
        )
    return number_segments(result.segments, label_map.array)


def _texts(result: PipelineResult) -> tuple[str, ...]:
    """Return every text of the result that stands in an object."""
    measurements = [item for finding in result.findings for item in finding.measurements]
    codes = (
        *(code for segment in result.segments for code in (segment.structure, segment.category)),
        *(finding.structure for finding in result.findings),
        *(code for item in measurements for code in (item.concept, item.unit)),
    )
    return (
        *(segment.name for segment in result.segments),
        *(finding.name for finding in result.findings),
        *(code.meaning for code in codes),
        *(item.not_measured for item in measurements),
        *result.notes,
    )
