"""The reference of all settings: docs/SETTINGS.md and config/settings.schema.json.

Both are made from the models (`make docs` writes them) and compared by a test, so that they
can't lag behind.
"""

from appliance.core.reference import DefaultsAsWritten, Schema, as_json, schema_of, tables
from appliance.settings.model import Settings
from appliance.settings.values import Endpoint

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
    blocks = [_INTRODUCTION, *tables(schema), _CONDITIONS]
    return "\n".join(blocks)


def settings_schema() -> str:
    """Return config/settings.schema.json."""
    return as_json(_schema())


class _Endpoints(DefaultsAsWritten):
    """Endpoints too."""

    def encode_default(self, dft: object) -> object:
        return str(dft) if isinstance(dft, Endpoint) else super().encode_default(dft)


def _schema() -> Schema:
    return schema_of(Settings, _Endpoints)
