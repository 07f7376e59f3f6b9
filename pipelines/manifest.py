"""`pipeline.yaml`: what a pipeline is for, what it needs, what it makes, under which licence.

Written by whoever brings a pipeline; every mistake is told at once with file, line and key.
"""

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

from pydantic import field_validator, model_validator

from appliance.core.documents import Document, mistakes_at, parse_document
from appliance.core.errors import ConfigError
from appliance.core.model import ObjectKind
from appliance.core.quantities import Size
from pipelines.card import Metric, Regulatory, Training
from pipelines.clinical import ClinicalRole
from pipelines.coding import WrittenScheme, unknown_schemes
from pipelines.command_spec import Command
from pipelines.fields import FileName, Line, Name, Text, matching
from pipelines.inputs import Input
from pipelines.network import Network, Precision, problems
from pipelines.outputs import Output, Score
from pipelines.specs import SECTION_OF, Bundle, Entry, Kind, Parameter

FILE_NAME = "pipeline.yaml"
_HASH_BLOCK = 1 << 20


class Weights(Document):
    """One file that is loaded only if its SHA-256 is this one."""

    file: FileName
    """The file, within the folder."""
    sha256: Annotated[str, matching(r"[0-9a-f]{64}", "a SHA-256: 64 hex digits in lower case")]
    """Its SHA-256: sha256sum FILE."""
    licence: Text
    """Its licence."""
    source: Text
    """Where it comes from."""


class Manifest(Document):
    """Everything that a `pipeline.yaml` says."""

    name: Name
    """What settings and results call it."""
    version: Annotated[
        str, matching(r"\d+\.\d+\.\d+([-+.][0-9A-Za-z.-]+)?", "a version like 1.0.0")
    ]
    """The maker's version; each result also names the SHA-256 of the folder."""
    kind: Kind
    """How it is run."""
    entry: Entry | None = None
    """Kind python: FILE.py:CLASS."""
    bundle: Bundle | None = None
    """Kind monai-bundle."""
    network: Network | None = None
    """Kinds onnx and torch."""
    command: Command | None = None
    """Kind command."""
    title: Text
    """What readers see."""
    manufacturer: Line
    """Who made the model; the appliance names itself beside it."""
    intended_use: Text
    """What it is for."""
    population: str = ""
    """Whom the model was made for, and whom not."""
    training: tuple[Training, ...] = ()
    """What the model learnt from."""
    metrics: tuple[Metric, ...] = ()
    """How good it is, with who measured that."""
    regulatory: Regulatory
    """What it may be used for."""
    clinical_role: ClinicalRole
    """The most that the maker says its results are good for: docs/REGISTRY.md."""
    memory: Size | None = None
    """Main memory that one run takes, as an estimate before the first."""
    gpu_memory: Size | None = None
    """Memory of a GPU that one run needs; without it, it runs on the CPU only."""
    cpu_fallback: bool = False
    """Whether it may run on the CPU where a GPU has not enough memory; the result says so."""
    inputs: tuple[Input, ...]
    """The series that it wants."""
    registered: bool = False
    """Whether its inputs must lie in one frame of reference."""
    outputs: tuple[Output, ...] = ()
    """The structures that it marks and measures."""
    scores: tuple[Score, ...] = ()
    """Kinds onnx and torch: numbers of a whole image."""
    coding_schemes: tuple[WrittenScheme, ...] = ()
    """Private coding schemes that its codes are of."""
    parameters: tuple[Parameter, ...] = ()
    """What a site may set."""
    features: tuple[Text, ...] = ()
    """Names of the output features that are watched for drift."""
    weights: tuple[Weights, ...] = ()
    """Files that are loaded only if their SHA-256 is the one here."""
    card: FileName = "card.md"
    """What readers should know, in Markdown."""
    licence: Text
    """Of this folder; weights name their own."""
    limits: tuple[Text, ...]
    """What readers must know of its limits, a sentence each."""
    citations: tuple[Text, ...] = ()
    """Publications, one each."""

    # Not min_length: where an entry is wrong, pydantic would tell that instead of the entry.
    @field_validator("inputs", "limits")
    @classmethod
    def _at_least_one(cls, value: tuple[object, ...]) -> tuple[object, ...]:
        if not value:
            raise ValueError("is empty; write at least one")
        return value

    @model_validator(mode="after")
    def _says_what_its_kind_needs(self) -> "Manifest":
        needed = SECTION_OF[self.kind]
        for section in sorted(set(SECTION_OF.values())):
            is_there = getattr(self, section) is not None
            if section == needed and not is_there:
                raise ValueError(f"a pipeline of kind {self.kind} needs {needed}; write it")
            if section != needed and is_there:
                raise ValueError(
                    f"{section} belongs to another kind; one of kind {self.kind} has {needed}"
                )
        return self

    @model_validator(mode="after")
    def _names_once(self) -> "Manifest":
        for what, names in (
            ("inputs", [item.name for item in self.inputs]),
            ("parameters", [item.name for item in self.parameters]),
            ("outputs: names", [item.name for item in self.outputs]),
            ("outputs: labels", [str(item.label) for item in self.outputs]),
            ("scores: names", [item.name for item in self.scores]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{what} must differ; more than one is {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _codes_are_of_known_schemes(self) -> "Manifest":
        unknown = tuple(unknown_schemes(self, self.coding_schemes))
        if unknown:
            raise mistakes_at(*unknown)
        return self

    @model_validator(mode="after")
    def _command_fits(self) -> "Manifest":
        if self.command is not None:
            problems = self.command.problems(
                outputs=[item.name for item in self.outputs],
                inputs=[item.name for item in self.inputs],
                parameters=[item.name for item in self.parameters],
                features=self.features,
            )
            mistakes = tuple(problems)
            if mistakes:
                raise mistakes_at(*mistakes)
        return self

    @property
    def adopts(self) -> frozenset[ObjectKind]:
        """Return the kinds of DICOM objects that are taken from it as it made them."""
        return frozenset(self.command.adopt if self.command else ())

    @property
    def isolates_itself(self) -> bool:
        """Return whether it cannot run in the appliance's isolation, and brings its own."""
        return self.command is not None and self.command.isolation == "own"

    @model_validator(mode="after")
    def _fits_its_network(self) -> "Manifest":
        if self.network is None:
            if self.scores:
                raise mistakes_at((("scores",), "are what a network gives: kinds onnx and torch"))
            return self
        wrong = [*problems(self.network, self.inputs, self.outputs, self.scores)]
        if len(self.inputs) > 1 and not self.registered:
            wrong.append((("inputs",), "lie on one another in a network; write registered: true"))
        if self.network.file not in [weights.file for weights in self.weights]:
            wrong.append((("weights",), f"lack {self.network.file} and its SHA-256; write them"))
        if self.kind is Kind.ONNX and self.network.precision is not Precision.FLOAT32:
            text = "an ONNX file has its precision in it; leave it out"
            wrong.append((("network", "precision"), text))
        if wrong:
            raise mistakes_at(*wrong)
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
    manifest = parse_manifest(text, str(path))
    missing = [name for name in _files(manifest) if not (folder / name).is_file()]
    if missing:
        raise ConfigError(
            *(f"{path}:1: names {name}, which is not in {folder}" for name in missing)
        )
    return manifest


def parse_manifest(text: str, name: str) -> Manifest:
    """Return the manifest that `text` writes. Raises ConfigError with every mistake in it."""
    return parse_document(text, name, Manifest)


def _files(manifest: Manifest) -> Iterator[str]:
    if manifest.entry is not None:
        yield manifest.entry.partition(":")[0]
    if manifest.bundle is not None:
        yield from (manifest.bundle.inference, manifest.bundle.metadata)
    if manifest.network is not None:
        yield manifest.network.file
    yield manifest.card
    yield from (weights.file for weights in manifest.weights)


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
