"""A weight file is loaded only if its SHA-256 is the manifest's."""

import hashlib
from pathlib import Path

from appliance.core.errors import ConfigError
from pipelines.manifest import FILE_NAME, Manifest, Weights, file_sha256


def verify(manifest: Manifest, folder: Path) -> None:
    """Compare every weight file with the manifest. Raises ConfigError with both hashes."""
    problems = []
    for weights in manifest.weights:
        path = folder / weights.file
        found = file_sha256(path) if path.is_file() else "no such file"
        if found != weights.sha256:
            problems.append(_differs(path, manifest, weights, found))
    if problems:
        raise ConfigError(*problems)


def read(manifest: Manifest, folder: Path, file: str) -> bytes:
    """Return the content of the weight file `file`: the very bytes that were compared.

    Raises ConfigError.
    """
    [weights] = [item for item in manifest.weights if item.file == file]
    content = (folder / file).read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != weights.sha256:
        raise ConfigError(_differs(folder / file, manifest, weights, found))
    return content


def _differs(path: Path, manifest: Manifest, weights: Weights, found: str) -> str:
    return (
        f"{path}: is not the file that {manifest.name} {manifest.version} was made with: "
        f"SHA-256 is {found}, {FILE_NAME} says {weights.sha256}; it is not loaded"
    )
