"""What values in a manifest look like: names, lines, files, conditions, codes."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema, model_validator

from appliance.core.conditions import Condition, parse_condition
from appliance.core.documents import Document, mistakes_at
from appliance.core.model import Code
from appliance.core.preferences import Preference, parse_preference
from pipelines.vocabulary import code_problem


def matching(pattern: str, what: str) -> AfterValidator:
    """Return a validator for text that matches `pattern` as a whole; else it "is not `what`"."""

    def check(text: str) -> str:
        if re.fullmatch(pattern, text) is None:
            raise ValueError(f"{text!r} is not {what}")
        return text

    return AfterValidator(check)


def _inside(text: str) -> str:
    """Return `text` if it names a file within the pipeline's folder, without links to follow."""
    path = Path(text)
    if path.is_absolute() or ".." in path.parts or not text:
        raise ValueError(f"{text!r} is not a file name within the pipeline's folder")
    return text


FileName = Annotated[str, AfterValidator(_inside)]
Name = Annotated[str, matching(r"[a-z0-9][a-z0-9-]{0,62}", "a name: use a-z, 0-9 and hyphens")]
Text = Annotated[str, Field(min_length=1)]
# What becomes a Long String of DICOM (PS3.5 6.2): a backslash would part it in two values.
Line = Annotated[
    str, matching(r"(?=.*\S)[^\\\x00-\x1f]{1,64}", "1 to 64 characters without a backslash")
]
WrittenCondition = Annotated[
    Condition, PlainValidator(parse_condition), WithJsonSchema({"type": "object"})
]
WrittenPreference = Annotated[
    Preference, PlainValidator(parse_preference), WithJsonSchema({"type": "object"})
]


class WrittenCode(Document):
    """A coded concept as a manifest writes it."""

    value: Annotated[str, Field(min_length=1, max_length=16)]
    """The code."""
    scheme: Annotated[str, Field(min_length=1, max_length=16)] = "SCT"
    """Its scheme: SCT, DCM, UCUM, LN, …, or a private one of coding_schemes."""
    meaning: Annotated[str, Field(min_length=1, max_length=64)]
    """What it means, as the scheme has it."""

    @model_validator(mode="after")
    def _is_of_its_scheme(self) -> "WrittenCode":
        why_not = code_problem(self.value, self.scheme)
        if why_not:
            raise mistakes_at((("value",), why_not))
        return self

    @property
    def code(self) -> Code:
        """Return the same in the shared vocabulary."""
        return Code(value=self.value, scheme=self.scheme, meaning=self.meaning)
