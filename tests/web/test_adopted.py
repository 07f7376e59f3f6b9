"""The page of a study whose result is an object that the pipeline made itself."""

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO

import httpx
import numpy as np
from pydicom import Dataset, dcmread

from appliance.core.model import Job, ObjectKind, PipelineResult, Side
from appliance.jobs.phases import with_segments
from pipelines.base import MadeObjects, PipelineOutput
from pipelines.encode.encoder import encode
from pipelines.series import read_volume
from pipelines.volume import LabelMap
from tests.web.test_review import addresses, png
from tests.web.versions import context_of
from tests.web.world import (
    MARKER,
    MARKER_COLOR,
    SHAPE,
    World,
    segment_of,
)


def finish_by_itself(world: World, change: Callable[[Dataset], None]) -> Job:
    """Complete a job whose pipeline made a Segmentation itself, and nothing else.

    It is that of the phantom's pipeline under other UIDs; `change` makes of it what another
    program might.
    """
    job = world.claim()
    paths = [world.files[item.spool_name] for item in job.inputs]
    volume = read_volume(paths)
    nothing = PipelineResult(findings=(), segments=(), features=())
    marked = PipelineOutput(
        result=replace(nothing, segments=(segment_of(job, 1, Side.LEFT, MARKER_COLOR),)),
        label_map=LabelMap(array=(volume.array == 900).astype(np.uint8), input_name="image"),
    )
    elsewhere = replace(context_of(job), run_uid="2.25.4711")
    segmentation = dcmread(BytesIO(encode(elsewhere, paths, volume, marked)[0].data))
    change(segmentation)
    file = BytesIO()
    segmentation.save_as(file, enforce_file_format=True)
    made = MadeObjects.of([("mask.dcm", file.getvalue())])
    adopting = replace(context_of(job), adopt=frozenset({ObjectKind.SEG}))
    output = PipelineOutput(result=nothing, label_map=None, made=made)
    objects = encode(adopting, paths, volume, output)
    return world.complete(job, objects, with_segments(nothing, objects))


def without_tracking(segmentation: Dataset) -> None:
    for segment in segmentation.SegmentSequence:
        del segment.TrackingUID, segment.TrackingID


def without_references(segmentation: Dataset) -> None:
    for groups in segmentation.PerFrameFunctionalGroupsSequence:
        del groups.DerivationImageSequence


def test_its_segmentation_lies_on_the_images_like_one_of_ours(
    reader: httpx.Client, world: World, study: str
) -> None:
    world.queue(study, send=False)
    finish_by_itself(world, without_tracking)
    page = reader.get(f"/studies/{study}").text
    assert "Objects: Segmentation (SEG)" in page
    assert ">marked</a>" in page
    _, masks, slices = addresses(page)
    for index, name in enumerate(slices):
        there = np.zeros(SHAPE, bool)
        there[MARKER] = True
        mask = png(reader, f"{masks}{name}.png?segment=1")
        marked = (mask[..., :3] == MARKER_COLOR).all(-1) & (mask[..., 3] > 0)
        np.testing.assert_array_equal(marked, there[index])
    assert f"{MARKER[0].start + 1} / {SHAPE[0]}" in reader.get(f"/studies/{study}?segment=1").text


def test_one_that_cannot_be_read_leaves_the_rest_of_the_page(
    reader: httpx.Client, world: World, study: str
) -> None:
    world.queue(study, send=False)
    job = finish_by_itself(world, without_references)
    page = reader.get(f"/studies/{study}")
    assert page.status_code == 200
    assert "Objects: Segmentation (SEG)" in page.text
    frames, masks, slices = addresses(page.text)
    assert png(reader, f"{frames}{slices[0]}.png").shape == SHAPE[1:]
    assert not masks
    largest = frames.replace("/frames/", f"/runs/{job.job_id}/") + "largest.json"
    assert reader.get(largest).status_code == 404
