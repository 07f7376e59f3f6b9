"""`pipeline.yaml`: what a pipeline is for, what it needs, what it makes, under which licence.

Written by whoever brings a pipeline; every mistake is told at once with file, line and key.
"""

import hashlib
import re
from collections.abc import Iterator
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    Field,
    PlainValidator,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from appliance.core.conditions import Condition, parse_condition
from appliance.core.documents import Document, parse_document
from appliance.core.errors import ConfigError
from appliance.core.model import Code
from appliance.core.preferences import Preference, parse_preference
from appliance.core.quantities import Size

FILE_NAME = "pipeline.yaml"
_HASH_BLOCK = 1 << 20


def _matching(pattern: str, what: str) -> AfterValidator:
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
Name = Annotated[str, _matching(r"[a-z0-9][a-z0-9-]{0,62}", "a name: use a-z, 0-9 and hyphens")]
Text = Annotated[str, Field(min_length=1)]
# What becomes a Long String of DICOM (PS3.5 6.2): a backslash would part it in two values.
Line = Annotated[
    str, _matching(r"(?=.*\S)[^\\\x00-\x1f]{1,64}", "1 to 64 characters without a backslash")
]
WrittenCondition = Annotated[
    Condition, PlainValidator(parse_condition), WithJsonSchema({"type": "object"})
]
WrittenPreference = Annotated[
    Preference, PlainValidator(parse_preference), WithJsonSchema({"type": "object"})
]


class Kind(StrEnum):
    """How a pipeline is run. `registry.build` has one entry for each."""

    PYTHON = "python"


class RegulatoryStatus(StrEnum):
    """What the pipeline may be used for, as its maker says."""

    RESEARCH = "research"
    CLEARED = "cleared"


class ClinicalRole(StrEnum):
    """What a result is to a reader."""

    QUANTIFICATION = "quantification"
    DETECTION = "detection"
    TRIAGE = "triage"
    QUALITY = "quality"


class PatientDirection(StrEnum):
    """A direction in the patient."""

    LEFT = "left"
    RIGHT = "right"
    ANTERIOR = "anterior"
    POSTERIOR = "posterior"
    HEAD = "head"
    FEET = "feet"


class Sides(StrEnum):
    """Whether a structure has a left and a right part."""

    PAIRED = "paired"
    MIDLINE = "midline"


class Regulatory(Document):
    """Regulatory status; a cleared product names what cleared it."""

    status: RegulatoryStatus
    # Stands in the description of each series of ours, which holds 64 characters in all.
    reference: Annotated[
        str, _matching(r"[^\\\x00-\x1f]{0,40}", "at most 40 characters without a backslash")
    ] = ""

    @model_validator(mode="after")
    def _cleared_by_something(self) -> "Regulatory":
        if self.status is RegulatoryStatus.CLEARED and not self.reference:
            raise ValueError("a cleared pipeline names its clearance: write reference")
        return self

    @property
    def label(self) -> str:
        """Return the words that stand beside every result."""
        if self.status is RegulatoryStatus.RESEARCH:
            return "Research, not for diagnosis"
        return f"Cleared: {self.reference}"


class Coverage(Document):
    """What a volume must show. Lengths in mm along the patient's axes."""

    left_right: float = Field(default=0.0, ge=0)
    anterior_posterior: float = Field(default=0.0, ge=0)
    head_feet: float = Field(default=0.0, ge=0)
    max_spacing: float | None = Field(default=None, gt=0)
    not_cut: tuple[PatientDirection, ...] = ()  # where the body must end before the image does


class Input(Document):
    """One series that the pipeline needs."""

    name: Name
    title: Text
    select: WrittenCondition
    prefer: tuple[WrittenPreference, ...] = ()
    required: bool = True  # false: the pipeline can do without
    coverage: Coverage = Coverage()


class WrittenCode(Document):
    """A coded concept as a manifest writes it."""

    value: Annotated[str, Field(min_length=1, max_length=16)]
    scheme: Annotated[str, Field(min_length=1, max_length=16)] = "SCT"
    meaning: Annotated[str, Field(min_length=1, max_length=64)]

    @property
    def code(self) -> Code:
        """Return the same in the shared vocabulary."""
        return Code(value=self.value, scheme=self.scheme, meaning=self.meaning)


class Output(Document):
    """One structure that the pipeline marks and measures."""

    label: int = Field(ge=1, le=255)  # the model's own class number
    name: Text
    structure: WrittenCode
    category: WrittenCode
    sides: Sides
    color: tuple[
        Annotated[int, Field(ge=0, le=255)],
        Annotated[int, Field(ge=0, le=255)],
        Annotated[int, Field(ge=0, le=255)],
    ]


class Weights(Document):
    """One file that is loaded only if its SHA-256 is this one."""

    file: FileName
    sha256: Annotated[str, _matching(r"[0-9a-f]{64}", "a SHA-256: 64 hex digits in lower case")]
    licence: Text
    source: Text


class Manifest(Document):
    """Everything that a `pipeline.yaml` says."""

    name: Name
    version: Annotated[
        str, _matching(r"\d+\.\d+\.\d+([-+.][0-9A-Za-z.-]+)?", "a version like 1.0.0")
    ]
    kind: Kind
    entry: Annotated[
        str, _matching(r"[A-Za-z_]\w*\.py:[A-Za-z_]\w*", "an entry like pipeline.py:ClassName")
    ]
    title: Text
    manufacturer: Line  # who made the model; the appliance names itself beside it
    intended_use: Text
    regulatory: Regulatory
    clinical_role: ClinicalRole
    gpu_memory: Size | None = None  # what one run needs there; without it, it runs on the CPU only
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...] = ()
    features: tuple[Text, ...] = ()  # names of the output features watched for drift
    weights: tuple[Weights, ...] = ()
    card: FileName = "card.md"
    licence: Text
    limits: tuple[Text, ...]
    citations: tuple[Text, ...] = ()

    # Not min_length: where an entry is wrong, pydantic would tell that instead of the entry.
    @field_validator("inputs", "limits")
    @classmethod
    def _at_least_one(cls, value: tuple[object, ...]) -> tuple[object, ...]:
        if not value:
            raise ValueError("is empty; write at least one")
        return value

    @model_validator(mode="after")
    def _names_once(self) -> "Manifest":
        for what, names in (
            ("inputs", [item.name for item in self.inputs]),
            ("outputs: names", [item.name for item in self.outputs]),
            ("outputs: labels", [str(item.label) for item in self.outputs]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{what} must differ; more than one is {', '.join(twice)}")
        return self

    def input(self, name: str) -> Input:
        """Return the input called `name`. Raises KeyError."""
        return next(item for item in self.inputs if item.name == name)


def load_manifest(folder: Path) -> Manifest:
    """Return the manifest of the pipeline in `folder`. Raises ConfigError with every mistake."""
    path = folder / FILE_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}:1: cannot be read: {error}") from None
    manifest = parse_document(text, str(path), Manifest)
    missing = [name for name in _files(manifest) if not (folder / name).is_file()]
    if missing:
        raise ConfigError(
            *(f"{path}:1: names {name}, which is not in {folder}" for name in missing)
        )
    return manifest


def _files(manifest: Manifest) -> tuple[str, ...]:
    return (
        manifest.entry.partition(":")[0],
        manifest.card,
        *(weights.file for weights in manifest.weights),
    )


def read_card(manifest: Manifest, folder: Path) -> str:
    """Return the model card's Markdown."""
    return (folder / manifest.card).read_text(encoding="utf-8")


def digest(folder: Path) -> str:
    """Return the SHA-256 over names and contents of the folder's files, in hex.

    Caches and hidden files are left out: they change without the pipeline changing.
    """
    total = hashlib.sha256()
    for path in sorted(_own_files(folder), key=lambda path: path.relative_to(folder).as_posix()):
        name = path.relative_to(folder).as_posix().encode()
        total.update(len(name).to_bytes(8) + name + bytes.fromhex(file_sha256(path)))
    return total.hexdigest()


def _own_files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        if path.is_file() and not any(p == "__pycache__" or p.startswith(".") for p in parts):
            yield path


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(partial(file.read, _HASH_BLOCK), b""):
            total.update(block)
    return total.hexdigest()
