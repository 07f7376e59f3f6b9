"""The reference of all settings: docs/SETTINGS.md and config/settings.schema.json.

Both are made from the models (`make docs` writes them) and compared by a test, so that they
can't lag behind.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from appliance.core.quantities import format_duration, format_size
from appliance.settings.model import Settings
from appliance.settings.values import Endpoint

Schema = Mapping[str, Any]

_WORDS = {
    "string": "text",
    "integer": "number",
    "number": "number",
    "boolean": "`true`, `false`",
    "object": "conditions",
}

_INTRODUCTION = """\
# Settings

<!-- Made from appliance/settings by `make docs`; do not edit. -->

One YAML file, `/etc/appliance/appliance.yaml`. `appliance check` tells every mistake at once,
each with file, line, key and what to write instead. Times are written as a number and one of
`ms`, `s`, `min`, `h`, `d` (`30 s`, `2 h`), sizes as a number and one of `B`, `KB`, `MB`, `GB`,
`TB` (decimal). An editor that reads JSON Schema can use `config/settings.schema.json`.
Commented examples: `config/appliance.yaml`, `config/routes-examples.yaml`.
"""

_CONDITIONS = """\
## Conditions

`when` of a route and `select` of a pipeline's input are written in the same way. Keys beside
each other must all hold. A key is a DICOM keyword, or a private element with its creator
(`"0019,1012 SIEMENS MR HEADER"`). They are read series by series; an element of the study or
of the patient belongs to each of its series.

| written | holds where |
|---|---|
| `Modality: MR` | the element has this value |
| `Modality: {equals: MR}` | the same |
| `BodyPartExamined: {in: [BRAIN, HEAD]}` | it has one of these values |
| `BodyPartExamined: {absent_or_in: [BRAIN, HEAD]}` | the same, or it is absent or empty |
| `SeriesDescription: {matches: "(?i)t1"}` | the regular expression is found in it |
| `SliceThickness: {at_least: 0.5, at_most: 1.5}` | the number is in these limits |
| `ContrastBolusAgent: {exists: false}` | it is absent or empty (`true`: it has a value) |
| `any: [{…}, {…}]` | at least one of these holds |
| `all: [{…}, {…}]` | each of these holds |
| `not: {…}` | this does not hold |
| `instance: {…}` | one instance of the series, on its own, meets this |
"""


def settings_reference() -> str:
    """Return docs/SETTINGS.md."""
    schema = _schema()
    blocks = [_INTRODUCTION, *_section(schema, schema, ""), _CONDITIONS]
    return "\n".join(blocks)


def settings_schema() -> str:
    """Return config/settings.schema.json."""
    return json.dumps(_schema(), indent=2, ensure_ascii=False) + "\n"


class _DefaultsAsWritten(GenerateJsonSchema):
    """Defaults stand in the schema as people would write them."""

    def encode_default(self, dft: object) -> object:
        if isinstance(dft, timedelta):
            return format_duration(dft)
        return str(dft) if isinstance(dft, Endpoint | Path) else super().encode_default(dft)

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        found = super().default_schema(schema)
        default = found.get("default")
        if isinstance(default, int) and found.get("type") == "string":
            found["default"] = format_size(default)  # a number that is written as text is a size
        return found


def _schema() -> Schema:
    return Settings.model_json_schema(schema_generator=_DefaultsAsWritten)


def _section(model: Schema, schema: Schema, prefix: str) -> Iterator[str]:
    """Yield the table of the model's own keys, then a section for each key that has more."""
    properties: Mapping[str, Schema] = model["properties"]
    inner = {key: _inner_model(value, schema) for key, value in properties.items()}
    rows = [
        _row(key, value, schema, required=key in model.get("required", ()))
        for key, value in properties.items()
        if inner[key] is None
    ]
    if rows:
        yield "| key | value | default | meaning |\n|---|---|---|---|"
        yield from (*rows, "")
    for key, value in properties.items():
        below = inner[key]
        if below is not None:
            path = f"{prefix}{key}{_plural(value)}"
            title = f"{'#' * min(2 + path.count('.'), 4)} `{path}`"
            about = value.get("description", below["description"])
            yield f"{title}\n\n{about}\n"
            yield from _section(below, schema, f"{path}.")


def _row(key: str, value: Schema, schema: Schema, *, required: bool) -> str:
    default = "required" if required else _as_written(value.get("default"))
    return f"| `{key}` | {_kind(value, schema)} | {default} | {value['description']} |"


def _as_written(default: object) -> str:
    if default in (None, "", [], {}):
        return "none"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, list):
        return f"`[{', '.join(map(str, default))}]`"
    return f"`{default}`"


def _kind(value: Schema, schema: Schema) -> str:
    """Return what may be written, in words."""
    value = _resolve(value, schema)
    if "anyOf" in value:
        return _kind(next(part for part in value["anyOf"] if part.get("type") != "null"), schema)
    if "enum" in value:
        return ", ".join(f"`{choice}`" for choice in value["enum"])
    if "const" in value:
        return f"`{value['const']}`"
    if value["type"] == "array":
        return f"list of {_kind(value['items'], schema)}"
    if value.get("examples"):
        return f"like `{value['examples'][0]}`"
    return _WORDS[value["type"]] + _limits(value)


def _limits(value: Schema) -> str:
    low = value.get("minimum", value.get("exclusiveMinimum"))
    high = value.get("maximum", value.get("exclusiveMaximum"))
    if low is None:
        return ""
    return f" from {low} to {high}" if high is not None else f" from {low}"


def _inner_model(value: Schema, schema: Schema) -> Schema | None:
    """Return the model that the value is, or has many of."""
    value = _resolve(value, schema)
    if "properties" in value:
        return value
    parts = [*value.get("anyOf", ()), value.get("items"), value.get("additionalProperties")]
    found = (_inner_model(part, schema) for part in parts if isinstance(part, dict))
    return next((model for model in found if model is not None), None)


def _plural(value: Schema) -> str:
    return {"array": "[]", "object": ".NAME"}.get(value.get("type", ""), "")


def _resolve(value: Schema, schema: Schema) -> Schema:
    reference = value.get("$ref")
    return schema["$defs"][reference.rpartition("/")[2]] if reference else value
