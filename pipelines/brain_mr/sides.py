"""Left and right from labels that know neither: a mid-sagittal plane fitted to the labels. Pure.

1. Voxels of every structure become points in LPS mm.
2. The plane is found by which the points, mirrored, come to lie on points of the same structure:
   from several starts, mirror, take each mirrored point's nearest neighbour, solve for the best
   mirror in closed form over the nearer 80 %, repeat.
3. The residual says how well the head obeys the plane: the root mean square distance from it of
   what should lie on it, which is the centre of each midline structure and the midpoint between
   the two halves of each paired one.
4. A connected component of a paired structure gets the side on which 95 % of it lies; one that
   reaches across (cortex, white matter, joined thalami or ventricles) is split voxel by voxel.

Nothing gets a side where the residual exceeds 2 mm or the plane is far from sagittal.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from appliance.core.model import Side
from pipelines.findings import Part
from pipelines.volume import Float64, Labels, Mask

MAX_RESIDUAL_MM = 2.0
MAX_ANGLE = 45.0  # degrees between the plane's normal and the patient's left-right axis
WHOLE_COMPONENT = 0.95
_COARSE_POINTS, _FINE_POINTS = 150, 1500  # of each structure
_STARTS = (-15.0, 0.0, 15.0)  # degrees of roll and of yaw
_NEARER = 0.8
_SETTLED = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plane:
    """A mid-sagittal plane: LPS mm; `normal` is a unit vector to the patient's left."""

    point: Float64
    normal: Float64
    residual_mm: float

    @property
    def trusted(self) -> bool:
        """Return whether sides may be told by it."""
        upright = self.normal[0] >= np.cos(np.radians(MAX_ANGLE))
        return bool(upright and self.residual_mm <= MAX_RESIDUAL_MM)

    def heights(self, points: Float64) -> Float64:
        """Return how far each point (n, 3) lies to the left of the plane, in mm."""
        found: Float64 = (points - self.point) @ self.normal
        return found


def fit_plane(
    labels: Labels, affine: Float64, paired: Sequence[int], midline: Sequence[int]
) -> Plane | None:
    """Return the mid-sagittal plane of a label map, or None where no structure is there.

    `affine` maps indices of `labels` to LPS mm. `paired` are the structures that have a left and
    a right half, `midline` those that lie on the plane.
    """
    clouds = _clouds(labels, affine, (*paired, *midline))
    if not clouds:
        return None
    coarse = [_thinned(cloud, _COARSE_POINTS) for cloud in clouds.values()]
    fine = [_thinned(cloud, _FINE_POINTS) for cloud in clouds.values()]
    starts = [_normal(roll, yaw) for roll in _STARTS for yaw in _STARTS]
    candidates = [_settle(coarse, _middle(coarse), normal, rounds=25) for normal in starts]
    point, normal, _ = min(candidates, key=lambda candidate: candidate[2])
    point, normal, _ = _settle(fine, point, normal, rounds=50)
    if normal[0] < 0:
        normal = -normal
    plane = Plane(point=point, normal=normal, residual_mm=0.0)
    return Plane(point=point, normal=normal, residual_mm=_residual(plane, clouds, midline))


def split(
    labels: Labels, affine: Float64, plane: Plane, paired: Sequence[int], midline: Sequence[int]
) -> Mapping[Part, Mask]:
    """Return a mask for each structure and side that is there.

    Midline structures come whole and without a side; so does everything where the plane is not
    to be trusted.
    """
    found: dict[Part, Mask] = {}
    boxes = ndimage.find_objects(labels, max_label=int(max((*paired, *midline))))
    for label in sorted((*paired, *midline)):
        box = boxes[label - 1]
        if box is None:
            continue
        if label in midline or not plane.trusted:
            found[Part(label=label, side=None)] = labels == label
            continue
        left = _left_of(labels[box] == label, box, affine, plane)
        for side, inside in ((Side.LEFT, left), (Side.RIGHT, (labels[box] == label) & ~left)):
            if inside.any():
                mask = np.zeros(labels.shape, dtype=np.bool_)
                mask[box] = inside
                found[Part(label=label, side=side)] = mask
    return found


def _left_of(mask: Mask, box: tuple[slice, ...], affine: Float64, plane: Plane) -> Mask:
    """Return the part of one structure that is on the left; `mask` is the inside of `box`."""
    components, count = ndimage.label(mask)
    start = np.array([part.start for part in box], dtype=float)
    heights = _height_map(mask.shape, start, affine, plane)
    on_left = heights > 0
    sizes = np.bincount(components.ravel(), minlength=count + 1)
    lefts = np.bincount(components.ravel(), weights=on_left.ravel(), minlength=count + 1)
    share = lefts / np.maximum(sizes, 1)
    whole_left, whole_right = share >= WHOLE_COMPONENT, share <= 1 - WHOLE_COMPONENT
    decided: Mask = (on_left | whole_left[components]) & ~whole_right[components]
    return decided & mask


def _height_map(shape: tuple[int, ...], start: Float64, affine: Float64, plane: Plane) -> Float64:
    """Return each voxel's distance to the left of the plane."""
    steps = affine[:3, :3].T @ plane.normal
    origin = affine[:3, :3] @ start + affine[:3, 3]
    base = float((origin - plane.point) @ plane.normal)
    i, j, k = (np.arange(n) * step for n, step in zip(shape, steps, strict=True))
    heights: Float64 = base + i[:, None, None] + j[:, None] + k
    return heights


def _clouds(labels: Labels, affine: Float64, wanted: Sequence[int]) -> dict[int, Float64]:
    """Return the points of each structure that is there, in LPS mm."""
    flat = np.flatnonzero(labels)
    values = labels.ravel()[flat]
    order = np.argsort(values, kind="stable")
    values, flat = values[order], flat[order]
    clouds: dict[int, Float64] = {}
    for label in wanted:
        part = flat[np.searchsorted(values, label) : np.searchsorted(values, label, side="right")]
        if part.size >= 10:
            indices = np.stack(np.unravel_index(part, labels.shape), axis=1)
            clouds[label] = indices @ affine[:3, :3].T + affine[:3, 3]
    return clouds


def _thinned(cloud: Float64, count: int) -> Float64:
    """Return about `count` of the points, spread evenly and always the same."""
    chosen: Float64 = cloud[np.linspace(0, len(cloud) - 1, min(len(cloud), count)).astype(int)]
    return chosen


def _middle(clouds: Sequence[Float64]) -> Float64:
    middle: Float64 = np.mean([cloud.mean(axis=0) for cloud in clouds], axis=0)
    return middle


def _normal(roll: float, yaw: float) -> Float64:
    vector = np.array([1.0, np.tan(np.radians(yaw)), np.tan(np.radians(roll))])
    unit: Float64 = vector / np.linalg.norm(vector)
    return unit


def _settle(
    clouds: Sequence[Float64], point: Float64, normal: Float64, rounds: int
) -> tuple[Float64, Float64, float]:
    """Return the plane after at most `rounds` of mirroring and matching, and its mean misfit."""
    trees = [cKDTree(cloud) for cloud in clouds]
    misfit = np.inf
    for _ in range(rounds):
        ones, others, distances = _matched(clouds, trees, point, normal)
        near = distances <= np.quantile(distances, _NEARER)
        misfit = float(distances[near].mean())
        last_normal, last_point = normal, point
        point, normal = _best_mirror(ones[near], others[near], normal)
        if np.abs(normal - last_normal).max() + abs((point - last_point) @ normal) < _SETTLED:
            break
    return point, normal, misfit


def _matched(
    clouds: Sequence[Float64], trees: Sequence[cKDTree], point: Float64, normal: Float64
) -> tuple[Float64, Float64, Float64]:
    """Return points, for each the nearest to its mirror image, and how far that is."""
    others, distances = [], []
    for cloud, tree in zip(clouds, trees, strict=True):
        mirrored = cloud - 2 * ((cloud - point) @ normal)[:, None] * normal
        distance, index = tree.query(mirrored)
        others.append(cloud[index])
        distances.append(distance)
    return np.concatenate(clouds), np.concatenate(others), np.concatenate(distances)


def _best_mirror(ones: Float64, others: Float64, towards: Float64) -> tuple[Float64, Float64]:
    """Return the plane that mirrors `ones` onto `others` with the least squares.

    With centred points p and q, the sum of |p - 2 n (n·p) - q|² is least where n·S·n is, S being
    the symmetric part of the sum of p qᵀ: n is the eigenvector of its lowest eigenvalue.
    """
    middle_one, middle_other = ones.mean(axis=0), others.mean(axis=0)
    product = (ones - middle_one).T @ (others - middle_other)
    _, vectors = np.linalg.eigh(product + product.T)
    normal: Float64 = vectors[:, 0]
    if normal @ towards < 0:
        normal = -normal
    return (middle_one + middle_other) / 2, normal


def _residual(plane: Plane, clouds: Mapping[int, Float64], midline: Sequence[int]) -> float:
    """Return how far, in mm, what should lie on the plane is from it; infinite if nothing is."""
    off = []
    for label, cloud in clouds.items():
        heights = plane.heights(cloud)
        if label in midline:
            off.append(float(heights.mean()))
        elif (heights > 0).any() and (heights <= 0).any():
            off.append(float(heights[heights > 0].mean() + heights[heights <= 0].mean()) / 2)
        else:
            return float("inf")  # a paired structure on one side only
    return float(np.sqrt(np.mean(np.square(off))))
