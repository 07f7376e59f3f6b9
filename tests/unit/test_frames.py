"""Decoded frames have one digest in whatever transfer syntax they lie there."""

from pathlib import Path

import pytest
from pydicom.uid import RLELossless

from appliance.wiring import frames
from appliance.wiring.frames import frames_digest
from tests.builders import encapsulated_pdf, mr_slices, write


def test_the_same_frames_have_the_same_digest_in_every_syntax(tmp_path: Path) -> None:
    one, other = mr_slices(slices=2)
    plain = frames_digest(write(one, tmp_path / "plain.dcm"))
    one.compress(RLELossless, generate_instance_uid=False)
    assert plain is not None
    assert frames_digest(write(one, tmp_path / "rle.dcm")) == plain
    assert frames_digest(write(other, tmp_path / "other.dcm")) != plain


def test_what_cannot_be_decoded_or_is_too_large_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(mr_slices(slices=1, PixelData=bytes(10))[0], tmp_path / "short.dcm")
    assert frames_digest(path) is None
    assert frames_digest(write(encapsulated_pdf(), tmp_path / "report.dcm")) is None
    monkeypatch.setattr(frames, "_LARGEST", 100)
    assert frames_digest(write(mr_slices(slices=1)[0], tmp_path / "large.dcm")) is None
