"""The model itself: a tilted head is set upright, and what is no head is not measured.

The straight head is the run of the system tests.
"""

from dataclasses import replace

import numpy as np
import pytest

from appliance.core.errors import InputRefused
from appliance.core.model import Side
from pipelines.base import Pipeline
from pipelines.folders import SHIPPED
from pipelines.resample import Grid, linear
from pipelines.series import read_volume
from pipelines.volume import Volume
from tests.reformat import head_paths
from tests.runs import loaded
from tests.volumes import given

ROLL = 15.0
HIPPOCAMPUS_ML, PALLIDUM_ML = 8.97, 3.67  # of the head as it is


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    folder = SHIPPED["brain-mr"]
    return loaded(folder)


@pytest.fixture(scope="module")
def head() -> Volume:
    return read_volume(head_paths())


def rolled(head: Volume, degrees: float) -> Volume:
    """The head leaning to a shoulder, interpolated once, with room so that it stays inside."""
    room = 40
    array = np.pad(head.array, ((room, room), (0, 0), (0, 0)))
    affine = head.affine.copy()
    affine[:3, 3] -= affine[:3, 0] * room
    turn = np.eye(4)
    turn[0, 0] = turn[1, 1] = np.cos(np.radians(degrees))
    turn[0, 1], turn[1, 0] = -np.sin(np.radians(degrees)), np.sin(np.radians(degrees))
    centre = np.array([array.shape[0] / 2, 120.0, 128.0])
    turn[:3, 3] = centre - turn[:3, :3] @ centre
    shape = (array.shape[0], array.shape[1], array.shape[2])
    straight, turned = Grid(shape=shape, affine=affine), Grid(shape=shape, affine=affine @ turn)
    return replace(head, array=linear(array, straight, turned), affine=affine)


def test_a_head_rolled_by_15_degrees_is_set_upright_and_measured_again(
    pipeline: Pipeline, head: Volume
) -> None:
    told: list[tuple[float, str]] = []
    output = pipeline.infer(
        given(
            {"head": rolled(head, ROLL)},
            progress=lambda done, phase: told.append((done, phase)),
        )
    )
    numbers = {feature.name: feature.number for feature in output.result.features}
    assert abs(numbers["roll_deg"] or 0.0) == pytest.approx(ROLL, abs=1.5)
    assert abs(numbers["yaw_deg"] or 0.0) < 2.0
    assert numbers["hippocampus_ml"] == pytest.approx(HIPPOCAMPUS_ML, rel=0.03)
    assert numbers["pallidum_ml"] == pytest.approx(PALLIDUM_ML, rel=0.08)
    [note] = output.result.notes
    assert "was set upright and the model was run again" in note
    sides = {f.side for f in output.result.findings if f.name == "Hippocampus"}
    assert sides == {Side.LEFT, Side.RIGHT}
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert sum(phase == "infer" for _, phase in told) == 20  # ten layers, twice


def test_a_head_sized_thing_that_is_no_head_is_refused(pipeline: Pipeline, head: Volume) -> None:
    i, j, k = np.ogrid[-75:75, -80:80, -75:75]
    shells = np.sqrt((i / 60.0) ** 2 + (j / 75.0) ** 2 + (k / 60.0) ** 2)
    array = np.where(shells < 0.5, 900.0, np.where(shells < 0.8, 500.0, 1200.0)) * (shells < 1)
    array += np.random.default_rng(1).normal(0, 20, array.shape)
    fruit = replace(head, array=array.astype(np.float32))
    with pytest.raises(InputRefused, match="not a whole adult head on a T1"):
        pipeline.infer(given({"head": fruit}))
