"""One file → Settings."""

from pathlib import Path

from appliance.core.documents import Source, parse_document, parse_yaml, problem
from appliance.core.errors import ConfigError
from appliance.settings.model import Settings
from appliance.settings.references import find_dangling


def load_settings(path: Path) -> Settings:
    """Return the settings in the file `path`. Raises ConfigError that holds every mistake."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path}:1: (the whole file): cannot be read: {error.strerror or error}; "
            "--config or APPLIANCE_CONFIG names another file"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}:1: (the whole file): is not UTF-8 at byte {error.start}; save it as UTF-8"
        ) from None
    return parse_settings(text, str(path))


def parse_settings(text: str, name: str) -> Settings:
    """Return the settings that `text` writes; `name` is what mistakes call it.

    Raises ConfigError with one line for each mistake, in the file's order.
    """
    data, lines = parse_yaml(text, name)
    found = [
        (lines.of(path), problem(name, lines.of(path), path, text))
        for path, text in find_dangling(data)
    ]
    settings: Settings | None = None
    try:
        settings = parse_document(text, name, Settings)
    except ConfigError as error:
        found += [(_line_of(text, name), text) for text in error.problems]
    if found or settings is None:
        raise ConfigError(*(text for _, text in sorted(found)))
    return settings.read_from(Source(name=name, lines=lines))


def _line_of(text: str, name: str) -> int:
    return int(text.removeprefix(f"{name}:").partition(":")[0])
