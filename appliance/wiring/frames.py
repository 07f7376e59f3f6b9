"""What decoded frames are the same: for intake, which knows no pixels."""

import hashlib
import warnings
from pathlib import Path

from pydicom import dcmread

from appliance.core.errors import BadInstance
from pipelines.decode import decode_frames

_LARGEST = 512 * 10**6  # bytes of a file that is read into memory for this


def frames_digest(path: Path) -> str | None:
    """Return a digest of the image's stored values; None where they cannot be decoded.

    The same values have the same digest in whatever transfer syntax they lie there.
    """
    if path.stat().st_size > _LARGEST:
        return None
    digest = hashlib.sha256()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a peer's odd values are no news here
        try:
            for frame in decode_frames(dcmread(path), path.name):
                plain = frame.astype("<f8" if frame.dtype.kind == "f" else "<i8")
                digest.update(f"{plain.dtype} {plain.shape}".encode())
                digest.update(plain.tobytes())
        except (BadInstance, AttributeError, ValueError, TypeError):
            return None
    return digest.hexdigest()
