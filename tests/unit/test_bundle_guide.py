"""The guide's example is complete: with the zoo's bundle beside it, it loads."""

import re
import shutil
from pathlib import Path

import torch
from monai.networks.nets import UNet

from pipelines.coding import verify_codes
from pipelines.manifest import load_manifest
from tests.bundles import ZOO, quiet, save_weights, sha256
from tests.runs import loaded

pytestmark = quiet

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "pipelines" / "monai-bundle.md"


def test_the_manifest_in_the_guide_is_one_for_the_zoo_bundle(tmp_path: Path) -> None:
    example = next(
        text for text in re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
        if "kind: monai-bundle" in text
    )  # fmt: skip
    folder = tmp_path / "spleen_ct_segmentation"
    shutil.copytree(ZOO / "spleen_ct_segmentation", folder)
    torch.manual_seed(0)
    channels, strides = [16, 32, 64, 128, 256], [2, 2, 2, 2]
    save_weights(folder, UNet(3, 1, 2, channels, strides, num_res_units=2, norm="batch"))
    (folder / "card.md").write_text("# Spleen\n")
    found = sha256(folder / "models" / "model.pt")
    assert "0" * 64 in example
    (folder / "pipeline.yaml").write_text(example.replace("0" * 64, found))
    manifest = load_manifest(folder)
    verify_codes(manifest, folder / "pipeline.yaml")
    loaded(folder)
