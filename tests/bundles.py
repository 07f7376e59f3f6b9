"""MONAI bundles to run: those of the zoo with weights initialised here, and one that is exact.

`intensity_bundle` marks by brightness alone: its network is a convolution of one voxel whose
logits make class k the likeliest where the image is k (of 0, 1, 2), so that what it must mark is
known at every voxel.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.phantoms import ANATOMY, BRAIN_STEM, HIPPOCAMPUS

ZOO = Path(__file__).parent / "data" / "monai-zoo"

SPLEEN = {"value": "78961009", "meaning": "Spleen"}
TISSUE = {"value": "85756007", "meaning": "Tissue"}

Config = dict[str, Any]

# What MONAI says of its own defaults and of packages that it could use.
quiet = pytest.mark.filterwarnings(
    r"ignore::FutureWarning:monai\..*",
    r"ignore::UserWarning:monai\..*",
)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def output(label: int, name: str, structure: Mapping[str, str] | None = None) -> Config:
    """Return an entry of a manifest's outputs."""
    return {
        "label": label,
        "name": name,
        "structure": dict(structure or TISSUE),
        "category": {"value": ANATOMY.value, "meaning": ANATOMY.meaning},
        "sides": "midline",
        "color": [10 * label, 100, 200],
    }


def write_manifest(folder: Path, **changes: Any) -> Path:
    """Write a `pipeline.yaml` for the bundle in `folder`; its weights are those that are there."""
    manifest: Config = {
        "name": "bundle-under-test",
        "version": "1.0.0",
        "kind": "monai-bundle",
        "bundle": {},
        "title": "Bundle under test",
        "manufacturer": "Tests",
        "intended_use": "Exercises the appliance; its weights know nothing of any patient.",
        "regulatory": {"status": "research"},
        "clinical_role": "second-reader",
        "inputs": [{"name": "image", "title": "Any", "select": {"Modality": {"in": ["CT", "MR"]}}}],
        "outputs": [],
        "weights": [
            {
                "file": path.relative_to(folder).as_posix(),
                "sha256": sha256(path),
                "licence": "Apache-2.0",
                "source": "initialised in the test",
            }
            for path in sorted(folder.rglob("models/*"))
        ],
        "licence": "Apache-2.0",
        "limits": ["Nothing that it says means anything."],
    }
    (folder / "card.md").write_text("# Bundle under test\n")
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(manifest | changes))
    return folder


def zoo_bundle(folder: Path, name: str, network: torch.nn.Module, **manifest: Any) -> Path:
    """Copy a bundle of the zoo and give it weights as its network has them when it is made."""
    shutil.copytree(ZOO / name, folder)
    save_weights(folder, network)
    return write_manifest(folder, **manifest)


def save_weights(folder: Path, network: torch.nn.Module) -> None:
    """Write the network's weights where bundles have them."""
    (folder / "models").mkdir(exist_ok=True)
    torch.save(network.state_dict(), folder / "models" / "model.pt")


def intensity_network(channels: int = 1) -> torch.nn.Conv3d:
    """Return the exact network; of several input channels, it adds them up."""
    network = torch.nn.Conv3d(channels, 3, 1)
    classes = torch.arange(3.0)
    with torch.no_grad():
        network.weight.copy_((2 * classes)[:, None, None, None, None].expand(-1, channels, 1, 1, 1))
        network.bias.copy_(-classes * classes)  # type: ignore[union-attr]
    return network


def transform(name: str, /, **arguments: Any) -> Config:
    return {"_target_": name, **arguments}


LOAD = [
    transform("LoadImaged", keys="image"),
    transform("EnsureChannelFirstd", keys="image"),
]
ORIENT = transform("Orientationd", keys="image", axcodes="RAS", labels=None)
SCALE = transform("ScaleIntensityRanged", keys="image", a_min=0, a_max=200, b_min=0, b_max=2)
SOFTMAX = transform("Activationsd", keys="pred", softmax=True)
INVERT = transform(
    "Invertd",
    keys="pred",
    transform="@preprocessing",
    orig_keys="image",
    nearest_interp=False,
    to_tensor=True,
)
ARGMAX = transform("AsDiscreted", keys="pred", argmax=True)


def config(**changes: Any) -> Config:
    """Return the exact bundle's `inference.json`."""
    return {
        "bundle_root": ".",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "network_def": {
            "_target_": "torch.nn.Conv3d",
            "in_channels": 1,
            "out_channels": 3,
            "kernel_size": 1,
        },
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": [*LOAD, ORIENT, SCALE]},
        "dataset": {
            "_target_": "Dataset",
            "data": "$[{'image': path} for path in @no_such_list]",
            "transform": "@preprocessing",
        },
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "num_workers": 2},
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": [16, 16, 16],
            "overlap": 0.25,
            "mode": "gaussian",
        },
        "postprocessing": {"_target_": "Compose", "transforms": [SOFTMAX, INVERT, ARGMAX]},
        "checkpointloader": {
            "_target_": "CheckpointLoader",
            "load_path": "$@bundle_root + '/models/model.pt'",
            "load_dict": {"model": "@network"},
        },
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "val_handlers": ["@checkpointloader"],
        },
        "run": ["$@evaluator.run()"],
        **changes,
    }


def metadata(**changes: Any) -> Config:
    """Return the exact bundle's `metadata.json`."""
    image = {"type": "image", "format": "magnitude", "modality": "MR", "dtype": "float32"}
    shape = {"spatial_shape": ["n", "n", "n"], "is_patch_data": True}
    return {
        "version": "1.0.0",
        "required_packages_version": {"nibabel": "5.0.0", "pytorch-ignite": "0.4.11"},
        "network_data_format": {
            "inputs": {
                "image": {**image, **shape, "num_channels": 1, "channel_def": {"0": "image"}}
            },
            "outputs": {
                "pred": {
                    **image,
                    **shape,
                    "format": "segmentation",
                    "num_channels": 3,
                    "channel_def": {"0": "background", "1": "hippocampus", "2": "brain_stem"},
                }
            },
        },
        **changes,
    }


BOX_AND_BALL = [
    output(1, "Hippocampus", {"value": HIPPOCAMPUS.value, "meaning": HIPPOCAMPUS.meaning}),
    output(2, "Brain-stem", {"value": BRAIN_STEM.value, "meaning": BRAIN_STEM.meaning}),
]


def intensity_bundle(
    folder: Path,
    *,
    written: Config | None = None,
    promised: Config | None = None,
    network: torch.nn.Module | None = None,
    **manifest: Any,
) -> Path:
    """Write the exact bundle, or one with another configuration, metadata, network or manifest."""
    (folder / "configs").mkdir(parents=True)
    (folder / "configs" / "inference.json").write_text(json.dumps(written or config()))
    (folder / "configs" / "metadata.json").write_text(json.dumps(promised or metadata()))
    save_weights(folder, network or intensity_network())
    return write_manifest(folder, **{"outputs": BOX_AND_BALL, **manifest})
