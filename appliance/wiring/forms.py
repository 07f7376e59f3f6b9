"""The feedback forms that the settings name."""

from collections.abc import Mapping

from appliance.core.errors import ConfigError
from appliance.settings.model import Settings
from feedback.forms import Form, parse_form


def load_forms(settings: Settings) -> Mapping[str, Form]:
    """Return the forms by name. Raises ConfigError with every mistake in every form."""
    folder = settings.web.forms
    problems: list[str] = []
    forms: dict[str, Form] = {}
    for path in sorted(folder.glob("*.yaml")):
        try:
            forms[path.stem] = parse_form(path.read_text(encoding="utf-8"), str(path))
        except ConfigError as error:
            problems += error.problems
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{path}:1: (the whole file): cannot be read: {error}")
    wanted = {"default"} | {r.feedback for r in settings.routes if r.feedback is not None}
    problems += [f"{folder}: has no form {name}.yaml" for name in sorted(wanted - forms.keys())]
    if problems:
        raise ConfigError(*problems)
    return forms
