"""From a pydantic model to a page of its keys, and to a JSON schema for editors.

Both are made from the models (`make docs` writes them) and compared by tests, so that they can't
lag behind.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from appliance.core.documents import Document
from appliance.core.quantities import format_duration, format_size

Schema = Mapping[str, Any]

_WORDS = {
    "string": "text",
    "integer": "number",
    "number": "number",
    "boolean": "`true`, `false`",
    "object": "conditions",
}


class DefaultsAsWritten(GenerateJsonSchema):
    """Defaults stand in the schema as people would write them."""

    def encode_default(self, dft: object) -> object:
        if isinstance(dft, timedelta):
            return format_duration(dft)
        return str(dft) if isinstance(dft, Path) else super().encode_default(dft)

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        found = super().default_schema(schema)
        default = found.get("default")
        if isinstance(default, int) and found.get("type") == "string":
            found["default"] = format_size(default)  # a number that is written as text is a size
        return found


def schema_of(
    model: type[Document], generator: type[GenerateJsonSchema] = DefaultsAsWritten
) -> Schema:
    """Return the model's JSON schema."""
    return model.model_json_schema(schema_generator=generator)


def as_json(schema: Schema) -> str:
    """Return the schema as a file for editors."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def tables(schema: Schema) -> Iterator[str]:
    """Yield the tables of all keys as Markdown, the model's own first."""
    yield from _section(schema, schema, "")


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
