"""The labelled volumes: which there are, who they are of, which fold tests them."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

BUNDLE = Path(__file__).resolve().parents[1]
FOLDS = (0, 1, 2, 3, 4)
FINAL = -1  # no volume is in this fold: a model that leaves it out is trained on all
# What decides about the weights, and what about the numbers that are said of them.
_TRAINING = ("configs/train.yaml", "configs/folds.json", "scripts/training.py")
_TESTING = (*_TRAINING, "configs/inference.json", "scripts/measure.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """One volume; two of them, of one subject, are the two sides of one brain."""

    volume: str  # file name, of the image and of its label map
    subject: int
    fold: int


def labelled() -> tuple[Labelled, ...]:
    """Return every volume of `configs/folds.json`."""
    rows = json.loads((BUNDLE / "configs" / "folds.json").read_text(encoding="utf-8"))
    return tuple(Labelled(**row) for row in rows)


def fold_of(subject: int, subjects: Sequence[int]) -> int:
    """Return the fold that tests a subject: dealt out in the order of a hash.

    `configs/folds.json` was made by this rule. It looks at nothing but the number, so that both
    sides of a brain are always in one fold.
    """

    def key(number: int) -> str:
        return hashlib.sha256(f"hippocampus-mr subject {number}".encode()).hexdigest()

    return sorted(set(subjects), key=key).index(subject) % len(FOLDS)


def folders(data: Path) -> tuple[Path, Path]:
    """Return the folders of images and labels; the Decathlon's own archive adds a Tr."""
    names = ("imagesTr", "labelsTr") if (data / "imagesTr").is_dir() else ("images", "labels")
    return data / names[0], data / names[1]


def missing(data: Path) -> int:
    """Return how many of the volumes are not in the folder with image and label."""
    images, labels = folders(data)
    names = [item.volume for item in labelled()]
    return sum(not ((images / name).is_file() and (labels / name).is_file()) for name in names)


def training_recipe() -> str:
    """Return the SHA-256 of everything that decides about the weights."""
    return _digest(_TRAINING)


def testing_recipe() -> str:
    """Return the SHA-256 of everything that decides about the validation."""
    return _digest(_TESTING)


def _digest(names: Iterable[str]) -> str:
    total = hashlib.sha256()
    for name in names:
        total.update((BUNDLE / name).read_bytes())
    return total.hexdigest()
