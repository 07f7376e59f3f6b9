"""`appliance pipeline new`: a folder that passes the check, to be filled with a model."""

from importlib.resources import as_file, files
from pathlib import Path

from pydantic import TypeAdapter

from appliance.core.errors import ApplianceError
from pipelines.fields import Name
from pipelines.manifest import load_manifest
from pipelines.specs import Kind

_NAMES = TypeAdapter[str](Name)
_NAME, _TITLE = "new-pipeline", "New pipeline"  # as the templates have them
_TEXTS = frozenset({".yaml", ".json", ".md"})


def checked_name(text: str) -> str:
    """Return `text` if a pipeline may be called so. Raises ValueError."""
    return _NAMES.validate_python(text)


def lay_out(name: str, kind: Kind, into: Path) -> Path:
    """Return the new folder `into`/`name` with a pipeline of this kind.

    Raises ApplianceError where it is there already.
    """
    target = into / name
    if target.exists():
        raise ApplianceError(f"{target} is there already; choose another name, or remove it")
    with as_file(files("appliance.trial") / "templates" / kind.value) as template:
        for path in sorted(template.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                _copy(path, target / path.relative_to(template), name)
    load_manifest(target)
    return target


def _copy(source: Path, target: Path, name: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    data = source.read_bytes()
    if source.suffix in _TEXTS:
        title = name.replace("-", " ").capitalize()
        data = data.replace(_NAME.encode(), name.encode()).replace(_TITLE.encode(), title.encode())
    target.write_bytes(data)
    target.chmod(source.stat().st_mode & 0o777 | 0o600)
