"""A pile of slices → one regular stack, or the reason why it is none. Pure.

Nothing is guessed: a missing slice is not interpolated, a tilted gantry is not straightened,
of two images at one place none is chosen.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from appliance.core.errors import InputRefused
from pipelines.slices import Slice
from pipelines.volume import Float64

SAME_DIRECTION = 1e-3  # largest difference of two direction cosines that are the same
SAME_PLACE_MM = 0.01
GAP_TOLERANCE = 0.05  # of the usual gap
MAX_TILT_DEGREES = 0.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stack:
    """Slices in order along their normal, and the affine of (slice, row, column) to LPS mm."""

    slices: tuple[Slice, ...]
    affine: Float64
    spacing: tuple[float, float, float]


def stack(slices: Sequence[Slice]) -> Stack:
    """Return the slices as one regular stack (PS3.3 C.7.6.2.1.1). Raises InputRefused."""
    if len(slices) < 2:
        raise InputRefused("the series has one slice only; a volume is needed")
    _same_everywhere(slices)
    first = slices[0]
    normal = np.cross(first.row, first.column)
    ordered = sorted(slices, key=lambda item: float(item.position @ normal))
    positions = np.array([item.position for item in ordered])
    _regular(positions @ normal)
    step = (positions[-1] - positions[0]) / (len(ordered) - 1)
    _upright(positions, step, normal, min(first.spacing))
    affine = np.eye(4)
    affine[:3, 0] = step
    affine[:3, 1] = first.column * first.spacing[0]
    affine[:3, 2] = first.row * first.spacing[1]
    affine[:3, 3] = positions[0]
    spacing = (float(np.linalg.norm(step)), *first.spacing)
    return Stack(slices=tuple(ordered), affine=affine, spacing=spacing)


def _same_everywhere(slices: Sequence[Slice]) -> None:
    first = slices[0]
    directions = [np.concatenate([item.row, item.column]) for item in slices]
    others = sum(bool(np.abs(d - directions[0]).max() > SAME_DIRECTION) for d in directions)
    if others:
        raise InputRefused(
            f"the slices lie in more than one orientation ({others} of {len(slices)} differ from "
            "the first one), like a localiser; one stack of parallel slices is needed"
        )
    for what, values in (
        ("matrix sizes", Counter(item.matrix for item in slices)),
        (
            "pixel spacings",
            Counter((round(s.spacing[0], 4), round(s.spacing[1], 4)) for s in slices),
        ),
    ):
        if len(values) > 1:
            said = ", ".join(f"{a} x {b} ({n} slices)" for (a, b), n in values.most_common(3))
            raise InputRefused(f"the slices have different {what}: {said}")
    if min(first.matrix) < 2:
        raise InputRefused(f"the slices are {first.matrix[0]} x {first.matrix[1]} pixels small")


def _regular(heights: Float64) -> None:
    """Check the gaps between slices at `heights` mm along the normal, in rising order."""
    gaps = np.diff(heights)
    same = int((gaps < SAME_PLACE_MM).sum())
    if same:
        at = int(np.argmax(gaps < SAME_PLACE_MM))
        raise InputRefused(
            f"{same} of {heights.size} images lie at the place of another one, the first at "
            f"{heights[at]:.1f} mm: several time points, echoes, image types or copies"
        )
    usual = float(np.median(gaps))
    wide = np.flatnonzero(np.abs(gaps - usual) > max(GAP_TOLERANCE * usual, SAME_PLACE_MM))
    if wide.size:
        raise InputRefused(_say_gaps(heights, gaps, usual, wide))


def _say_gaps(heights: Float64, gaps: Float64, usual: float, wide: np.ndarray) -> str:
    at = int(wide[0])
    times = gaps[wide] / usual
    between = (
        f"between slice {at + 1} at {heights[at]:.1f} mm and slice {at + 2} at "
        f"{heights[at + 1]:.1f} mm"
    )
    if (np.abs(times - np.round(times)) <= 2 * GAP_TOLERANCE).all() and times.min() > 1.5:
        missing = int((np.round(times) - 1).sum())
        noun = "slice is" if missing == 1 else "slices are"
        first = "" if wide.size == 1 else "first "
        return (
            f"{missing} {noun} missing, {first}{between}: the gap there is {gaps[at]:.2f} mm, "
            f"elsewhere {usual:.2f} mm"
        )
    return (
        f"the slices are unevenly spaced: {wide.size} of {gaps.size} gaps differ from the usual "
        f"{usual:.2f} mm by more than {GAP_TOLERANCE:.0%} (from {gaps.min():.2f} to "
        f"{gaps.max():.2f} mm), the first {between}"
    )


def _upright(positions: Float64, step: Float64, normal: Float64, pixel: float) -> None:
    """Check that the stack's axis is the slices' normal: no gantry tilt, no shear, no jitter."""
    cosine = float(step @ normal / np.linalg.norm(step))
    tilt = float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))
    if tilt > MAX_TILT_DEGREES:
        raise InputRefused(
            f"the stack is sheared by {tilt:.1f} degrees (a tilted gantry): each slice is shifted "
            "against the one below; straighten the series before sending it"
        )
    line = positions[0] + np.arange(len(positions))[:, None] * step
    off = np.linalg.norm(positions - line, axis=1)
    if off.max() > max(0.5 * pixel, SAME_PLACE_MM):
        at = int(np.argmax(off))
        raise InputRefused(
            f"slice {at + 1} lies {off[at]:.1f} mm beside the line of the others: the series is "
            "no straight stack"
        )
