"""An installation, opened."""

import os
from pathlib import Path

import pytest

from appliance.wiring.site import open_site
from tests.appliance import settings, write


def test_an_image_whose_file_is_gone_is_told_as_not_kept(tmp_path: Path) -> None:
    with open_site(write(tmp_path, settings(tmp_path, 104))) as site:
        assert site.image("0" * 64) is None


def test_a_new_key_survives_a_power_cut_as_what_is_kept_under_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_site(write(tmp_path, settings(tmp_path, 104))) as site:
        synced: list[tuple[int, set[str]]] = []

        def fsync(descriptor: int) -> None:
            names = {path.name for path in site.folders.secrets.iterdir()}
            synced.append((os.fstat(descriptor).st_ino, names))

        monkeypatch.setattr(os, "fsync", fsync)
        site.secret("patient-key")
        folder, names = synced[-1]
        assert folder == site.folders.secrets.stat().st_ino
        assert names == {"patient-key"}
