"""The reference of the manifest's keys is what the models say."""

import json
from pathlib import Path

from pipelines import steps
from pipelines.document import manifest_schema

ROOT = Path(__file__).parents[2]


def test_the_schema_is_made_from_the_models() -> None:
    assert (ROOT / "config/pipeline.schema.json").read_text() == manifest_schema(), "`make docs`"


def test_every_key_says_what_it_means() -> None:
    schema = json.loads(manifest_schema())
    # Steps have MONAI's own names and arguments; docs/pipelines/networks.md says what each does.
    of_monai = {name for name, one in vars(steps).items() if isinstance(one, type)}
    silent = [
        f"{model['title']}.{key}"
        for model in [schema, *schema["$defs"].values()]
        for key, value in model.get("properties", {}).items()
        if model["title"] not in of_monai and not value.get("description")
    ]
    assert not silent
