"""A weight file is loaded only if its SHA-256 is the manifest's."""

from pathlib import Path

from appliance.core.errors import ConfigError
from pipelines.manifest import FILE_NAME, Manifest, file_sha256


def verify(manifest: Manifest, folder: Path) -> None:
    """Compare every weight file with the manifest. Raises ConfigError with both hashes."""
    problems = []
    for weights in manifest.weights:
        path = folder / weights.file
        found = file_sha256(path) if path.is_file() else "no such file"
        if found != weights.sha256:
            problems.append(
                f"{path}: is not the file that {manifest.name} {manifest.version} was made with: "
                f"SHA-256 is {found}, {FILE_NAME} says {weights.sha256}; it is not loaded"
            )
    if problems:
        raise ConfigError(*problems)
