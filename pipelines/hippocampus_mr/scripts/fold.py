"""Train one model by `configs/train.yaml`; let `configs/inference.json` mark what was held out.

    python -m pipelines.hippocampus_mr.scripts.fold --data FOLDER --out FOLDER --fold 0

Writes `fold-0.pt` and `fold-0.json` into the folder; fold -1 is the final model on every volume,
from which nothing was held out. One thread a model: it gives the same numbers again, and two
models beside each other use two cores better than one model with two threads.
"""

import argparse
import dataclasses
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from monai.bundle import ConfigWorkflow

from pipelines.hippocampus_mr.scripts.data import (
    BUNDLE,
    Labelled,
    folders,
    labelled,
    testing_recipe,
    training_recipe,
)
from pipelines.hippocampus_mr.scripts.measure import PARTS, Labels, dice, volume_ml


def train(fold: int, data: Path, weights: Path) -> None:
    """Train by the bundle's own configuration and write the weights."""
    images, labels = folders(data)
    with tempfile.TemporaryDirectory(dir=weights.parent) as work:
        changed = {
            "dataset_dir": str(data),
            "images": images.name,
            "labels": labels.name,
            "output_dir": work,
            "fold": fold,
        }
        _run("train.yaml", "train", changed)
        (Path(work) / "model.pt").replace(weights)


def mark(images: Sequence[Path], weights: Path, out: Path) -> None:
    """Write a label map for each image into `out`, as the bundle does it for any image."""
    changed = {
        "datalist": [str(path) for path in images],
        "output_dir": str(out),
        "checkpointloader#load_path": str(weights),
    }
    _run("inference.json", "infer", changed)


def _run(config: str, kind: str, changed: Mapping[str, object]) -> None:
    workflow = ConfigWorkflow(
        config_file=str(BUNDLE / "configs" / config),
        workflow_type=kind,
        logging_file=False,
        bundle_root=str(BUNDLE),
        **changed,
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()


def test(held_out: Sequence[Labelled], data: Path, weights: Path) -> list[dict[str, Any]]:
    """Return what the model says of each volume beside what its label says."""
    images, labels = folders(data)
    with tempfile.TemporaryDirectory() as out:
        mark([images / item.volume for item in held_out], weights, Path(out))
        return [_compare(item, Path(out), labels) for item in held_out]


def _compare(item: Labelled, out: Path, labels: Path) -> dict[str, Any]:
    told, _ = _read(out / item.volume.replace(".nii.gz", "_seg.nii.gz"))
    truth, voxel = _read(labels / item.volume)
    return {
        **dataclasses.asdict(item),
        "dice": {part: round(dice(told, truth, part), 4) for part in PARTS},
        "model_ml": {part: round(volume_ml(told, voxel, part), 4) for part in PARTS},
        "label_ml": {part: round(volume_ml(truth, voxel, part), 4) for part in PARTS},
    }


def _read(path: Path) -> tuple[Labels, float]:
    image = nibabel.load(path)
    voxel = float(np.prod(image.header.get_zooms()[:3]))
    return np.asarray(image.dataobj).astype(np.uint8), voxel


def main(arguments: Sequence[str]) -> None:
    """Train and test one fold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--fold", type=int, required=True)
    wanted = parser.parse_args(arguments)
    torch.set_num_threads(1)
    weights = wanted.out / f"fold-{wanted.fold}.pt"
    said = _trained(wanted.fold, wanted.data, weights)
    held_out = [item for item in labelled() if item.fold == wanted.fold]
    rows = test(held_out, wanted.data, weights) if held_out else []
    weights.with_suffix(".json").write_text(
        json.dumps({**said, "tested_by": testing_recipe(), "volumes": rows}, indent=1) + "\n"
    )


def _trained(fold: int, data: Path, weights: Path) -> dict[str, Any]:
    """Return who made the weights and how long it took; make them where nobody did."""
    note = weights.with_suffix(".trained.json")
    if weights.is_file() and note.is_file():
        said: dict[str, Any] = json.loads(note.read_text())
        if said["trained_by"] == training_recipe():
            return said
    started = time.process_time()
    train(fold, data, weights)
    said = {
        "fold": fold,
        "trained_by": training_recipe(),
        "seconds": round(time.process_time() - started),  # of the processor, whoever shares it
    }
    note.write_text(json.dumps(said) + "\n")
    return said


if __name__ == "__main__":
    main(sys.argv[1:])
