"""The settings' reference is what the models say."""

import json
from pathlib import Path

from appliance.settings.document import settings_reference, settings_schema

ROOT = Path(__file__).parents[2]


def test_the_reference_page_is_made_from_the_models() -> None:
    assert (ROOT / "docs/SETTINGS.md").read_text() == settings_reference(), "run `make docs`"


def test_the_schema_is_made_from_the_models() -> None:
    assert (ROOT / "config/settings.schema.json").read_text() == settings_schema(), "`make docs`"


def test_every_key_says_what_it_means() -> None:
    schema = json.loads(settings_schema())
    for model in [schema, *schema["$defs"].values()]:
        for key, value in model.get("properties", {}).items():
            assert value.get("description") or "$ref" in value, key
