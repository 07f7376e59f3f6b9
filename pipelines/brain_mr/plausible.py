"""Is what the model marked a whole adult brain on a T1? Pure.

A network marks something in any picture. What it marks in a knee, a crop or a T2 is small, in
pieces, cut by the image's border, or has the wrong contrast, and is not reported.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import numpy as np
from scipy import ndimage

from pipelines.volume import Labels, Volume, patient_axes

BRAIN_ML = (700.0, 2200.0)
MAIN_COMPONENT = 0.95  # least share of the brain that hangs together
MAX_AT_BORDER_CM2 = 2.0
MIN_WHITE_TO_GREY = 1.05
MIN_GREY_TO_FLUID = 1.15

WHITE, GREY, FLUID = "Cerebral-White-Matter", "Cerebral-Cortex", "Lateral-Ventricle"
_LEAVES_BELOW = "Brain-Stem"  # goes on as the spinal cord, out of the image

# mL, both sides: wide enough for the old, the atrophic and the large; not for another organ.
RANGES_ML: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        WHITE: (200, 900),
        GREY: (250, 950),
        FLUID: (2, 300),
        "Inferior-Lateral-Ventricle": (0.05, 40),
        "Cerebellum-White-Matter": (8, 60),
        "Cerebellum-Cortex": (40, 220),
        "Thalamus": (6, 30),
        "Caudate": (2.5, 16),
        "Putamen": (3, 20),
        "Pallidum": (0.8, 9),
        "3rd-Ventricle": (0.2, 12),
        "4th-Ventricle": (0.3, 12),
        "Brain-Stem": (9, 45),
        "Hippocampus": (2.5, 16),
        "Amygdala": (0.8, 8),
        "Accumbens-area": (0.15, 4),
        "VentralDC": (2.5, 16),
    }
)


def refusals(volume: Volume, labels: Labels, names: Mapping[int, str]) -> tuple[str, ...]:
    """Return every reason for which `labels` on `volume` is no whole brain.

    `names` gives each label's name in the model's label list.
    """
    counts = np.bincount(labels.ravel(), minlength=max(names) + 1)
    found_ml = {name: float(counts[label]) * volume.voxel_ml for label, name in names.items()}
    brain_ml = sum(found_ml.values())
    if not BRAIN_ML[0] <= brain_ml <= BRAIN_ML[1]:
        least, most = BRAIN_ML
        return (f"a whole adult brain has {least:g} to {most:g} mL; {brain_ml:.0f} mL were found",)
    return (
        *_implausible(found_ml),
        *_in_pieces(labels),
        *_cut(volume, labels, names),
        *_wrong_contrast(volume, labels, names),
    )


def _implausible(found_ml: Mapping[str, float]) -> Iterator[str]:
    for name, (least, most) in RANGES_ML.items():
        if not least <= found_ml.get(name, 0.0) <= most:
            yield (
                f"{name} would have {found_ml.get(name, 0.0):.2f} mL, which is outside of "
                f"{least:g} to {most:g} mL"
            )


def _in_pieces(labels: Labels) -> Iterator[str]:
    components, count = ndimage.label(labels[::2, ::2, ::2] > 0)
    if count > 1:
        sizes = np.bincount(components.ravel())[1:]
        share = float(sizes.max() / sizes.sum())
        if share < MAIN_COMPONENT:
            yield f"what was found lies in pieces: the largest one holds {share:.0%} of it"


def _cut(volume: Volume, labels: Labels, names: Mapping[int, str]) -> Iterator[str]:
    below = {label for label, name in names.items() if name == _LEAVES_BELOW}
    brain = (labels > 0) & ~np.isin(labels, tuple(below))
    axes = patient_axes(volume.affine)
    for axis in range(3):
        face_mm2 = float(np.prod(volume.spacing)) / volume.spacing[axis]
        for end in (0, -1):
            area = float(np.take(brain, end, axis=axis).sum()) * face_mm2 / 100.0
            if area > MAX_AT_BORDER_CM2:
                where = ("left or right", "front or back", "upper or lower")[axes[axis]]
                yield (
                    f"the brain is cut off at the {where} border of the image, where its section "
                    f"is {area:.0f} cm2"
                )


def _wrong_contrast(volume: Volume, labels: Labels, names: Mapping[int, str]) -> Iterator[str]:
    numbers = {name: label for label, name in names.items()}
    white, grey, fluid = (
        float(volume.array[labels == numbers[name]].mean()) for name in (WHITE, GREY, FLUID)
    )
    floor = float(np.percentile(volume.array, 2))
    white, grey, fluid = white - floor, grey - floor, fluid - floor
    if white < MIN_WHITE_TO_GREY * grey or grey < MIN_GREY_TO_FLUID * fluid:
        yield (
            "the tissues have not the contrast of a T1: white matter, cortex and ventricles "
            f"have mean intensities of {white:.0f}, {grey:.0f} and {fluid:.0f}"
        )
