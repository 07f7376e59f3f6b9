"""From a pydantic model to a page of its keys, and to a JSON schema for editors.

Both are made from the models (`make docs` writes them) and compared by tests, so that they can't
lag behind.
"""

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator, Mapping
from datetime import timedelta
from itertools import pairwise
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
    """Defaults stand in the schema as people would write them.

    A key without a description has the docstring below its attribute. pydantic can do that too, but
    reads all sources whenever a process starts.
    """

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        found = super().model_schema(schema)
        keys = found.get("properties", {})
        model: type[Document] = schema["cls"]
        for name, text in _attribute_docstrings(model).items():
            field = model.model_fields.get(name)
            if field is not None:
                keys[field.alias or name].setdefault("description", text)
        return found

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


def _attribute_docstrings(model: type) -> Mapping[str, str]:
    """Return the docstrings below the model's attributes, on one line each."""
    above = (base for base in model.__bases__ if issubclass(base, Document))
    found = {name: text for base in above for name, text in _attribute_docstrings(base).items()}
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    for node, following in pairwise(tree.body if isinstance(tree, ast.ClassDef) else ()):
        if (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
        ):
            found[node.target.id] = " ".join(str(following.value.value).split())
    return found


def schema_of(
    model: type[Document], generator: type[GenerateJsonSchema] = DefaultsAsWritten
) -> Schema:
    """Return the model's JSON schema."""
    return model.model_json_schema(schema_generator=generator)


def as_json(schema: Schema) -> str:
    """Return the schema as a file for editors."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def tables(schema: Schema, *, level: int = 2) -> Iterator[str]:
    """Yield the tables of all keys as Markdown, the model's own first, headings from `level` on."""
    yield from _Page(schema, level).section(schema, "")


class _Page:
    """One page: what is written in the same way in several places is told once."""

    def __init__(self, schema: Schema, level: int) -> None:
        self._schema = schema
        self._level = level
        self._told: dict[int, str] = {}  # path by identity of the model: titles may be the same

    def section(self, model: Schema, prefix: str) -> Iterator[str]:
        """Yield the table of the model's own keys, then a section for each key that has more."""
        properties: Mapping[str, Schema] = model["properties"]
        below = {key: _inner_model(value, self._schema) for key, value in properties.items()}
        paths = {key: f"{prefix}{key}{_plural(value)}" for key, value in properties.items()}
        apart: dict[str, Schema] = {}
        for key, inner in below.items():
            if inner is not None and _is_told(inner) and id(inner) not in self._told:
                self._told[id(inner)] = paths[key]
                apart[key] = inner
        rows = [
            self._row(key, value, below[key], required=key in model.get("required", ()))
            for key, value in properties.items()
            if key not in apart
        ]
        if rows:
            yield "| key | value | default | meaning |\n|---|---|---|---|"
            yield from (*rows, "")
        for key, inner in apart.items():
            depth = self._level + min(paths[key].count("."), 2)
            about = properties[key].get("description", inner["description"])
            yield f"{'#' * depth} `{paths[key]}`\n\n{about}\n"
            yield from self.section(inner, f"{paths[key]}.")

    def _row(self, key: str, value: Schema, inner: Schema | None, *, required: bool) -> str:
        default = "required" if required else _as_written(value.get("default"))
        meaning = value.get("description") or (inner or {}).get("description", "")
        return f"| `{key}` | {self._value(value, inner)} | {default} | {meaning} |"

    def _value(self, value: Schema, inner: Schema | None) -> str:
        if inner is None:
            return _kind(value, self._schema)
        if not _is_told(inner):
            keys = ", ".join(f"`{key}`" for key in inner["properties"])
            return f"list, each with one of {keys}" if _plural(value) else keys
        many = "list, each " if _plural(value) else ""
        return f"{many}as `{self._told[id(inner)]}`"


def _is_told(model: Schema) -> bool:
    """Return whether the model says what its keys mean; MONAI's arguments are told by MONAI."""
    return any(value.get("description") for value in model["properties"].values())


def _as_written(default: object) -> str:
    if default in (None, "", []) or isinstance(default, dict):
        return "none"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, list):
        return f"`[{', '.join(map(str, default))}]`"
    return f"`{default}`"


def _kind(value: Schema, schema: Schema) -> str:
    """Return what may be written, in words."""
    value = _resolve(value, schema)
    several = value.get("anyOf", ())
    if isinstance(value.get("type"), list):
        several = [{**value, "type": one} for one in value["type"]]
    if several:
        kinds = (_kind(part, schema) for part in several if part.get("type") != "null")
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in value or "const" in value:
        return ", ".join(f"`{choice}`" for choice in value.get("enum", (value.get("const"),)))
    if value["type"] == "array":
        return _list(value, schema)
    if value.get("examples"):
        return f"like `{value['examples'][0]}`"
    each = value.get("additionalProperties")
    if isinstance(each, dict):
        return f"keys, each with {_kind(each, schema)}"
    return _WORDS[value["type"]] + _limits(value)


def _list(value: Schema, schema: Schema) -> str:
    if "prefixItems" not in value:
        return f"list of {_kind(value.get('items', {'type': 'number'}), schema)}"
    kinds = [_kind(item, schema) for item in value["prefixItems"]]
    return f"list of {len(kinds)}: {', '.join(dict.fromkeys(kinds))}"


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
    return {"array": "[]", "object": ".NAME"}.get(str(value.get("type")), "")


def _resolve(value: Schema, schema: Schema) -> Schema:
    reference = value.get("$ref")
    return schema["$defs"][reference.rpartition("/")[2]] if reference else value
