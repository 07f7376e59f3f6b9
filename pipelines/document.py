"""Every key of `pipeline.yaml`: tables for docs/PIPELINES.md, and a JSON schema for editors."""

from collections.abc import Mapping

from appliance.core.reference import as_json, schema_of, tables
from pipelines.manifest import Manifest


def manifest_tables() -> Mapping[str, str]:
    """Return the tables of all keys, by the name under which the page asks for them."""
    return {"manifest": "\n".join(tables(schema_of(Manifest), level=3)).rstrip()}


def manifest_schema() -> str:
    """Return the JSON schema for editors."""
    return as_json(schema_of(Manifest))
