"""How the head is tilted against the grid that the model saw, and the grid that sets it right."""

from dataclasses import dataclass

import numpy as np

from pipelines.brain_mr.sides import Plane
from pipelines.resample import Grid
from pipelines.volume import Float64

LIMIT_DEGREES = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tilt:
    """Degrees. Roll: the head leans to a shoulder; yaw: it looks to a side.

    Positive roll: the plane's left side is the higher one. Positive yaw: it is the one further
    back. Pitch (a nod) does not show in a mid-sagittal plane.
    """

    roll: float
    yaw: float

    @property
    def too_much(self) -> bool:
        """Return whether the model should see the head set upright."""
        return max(abs(self.roll), abs(self.yaw)) > LIMIT_DEGREES


def _directions(grid: Grid) -> Float64:
    """Return the unit vectors in LPS along which a left-inferior-anterior grid's axes grow."""
    columns: Float64 = grid.affine[:3, :3] / np.linalg.norm(grid.affine[:3, :3], axis=0)
    return columns


def measure(plane: Plane, grid: Grid) -> Tilt:
    """Return the tilt of the mid-sagittal plane against a left-inferior-anterior grid."""
    left, down, front = _directions(grid).T @ plane.normal
    return Tilt(
        roll=float(np.degrees(np.arctan2(-down, left))),
        yaw=float(np.degrees(np.arctan2(-front, left))),
    )


def upright(plane: Plane, grid: Grid) -> Float64:
    """Return the directions, turned as little as possible, whose first is the plane's normal."""
    before = _directions(grid)
    axis = np.cross(before[:, 0], plane.normal)
    cosine = float(before[:, 0] @ plane.normal)
    cross = np.array([[0.0, -axis[2], axis[1]], [axis[2], 0.0, -axis[0]], [-axis[1], axis[0], 0.0]])
    # Rodrigues' formula for the smallest rotation of one unit vector to another.
    rotation = np.eye(3) + cross + cross @ cross / (1.0 + cosine)
    directions: Float64 = rotation @ before
    return directions
