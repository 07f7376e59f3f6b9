"""What a manifest says of an outside program: how it is started, and what it leaves behind."""

import re
from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, model_validator

from appliance.core.documents import Document, KeyPath, suggest
from appliance.core.model import ObjectKind, Side
from appliance.core.quantities import Size
from pipelines.fields import FileName, Name, Text, WrittenCode, matching

PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_:-]*)\}")
PARAMETER = "parameter:"
# What stands for a path of the run; the fifth is the Python that runs the appliance.
PLACES = ("input", "output", "work", "folder", "python")


class Convention(StrEnum):
    """How the program is told where its files are."""

    PLAIN = "plain"  # by placeholders in its arguments alone
    MONAI_DEPLOY = "monai-deploy"  # by the variables of MONAI application packages as well
    MERCURE = "mercure"  # by those of mercure's modules, and settings in task.json


class InputFormat(StrEnum):
    """What the program reads."""

    DICOM = "dicom"
    NIFTI = "nifti"


class Exit(StrEnum):
    """What an exit code other than 0 means where it does not mean failure."""

    RETRY = "retry"  # another attempt may succeed
    REFUSED = "refused"  # the program says that this is not what it was made for


class WrittenUnit(WrittenCode):
    """A unit of measurement (UCUM)."""

    scheme: Literal["UCUM"] = "UCUM"


class Measured(Document):
    """One number in the program's JSON, and which measurement of what it is."""

    key: Text
    """The key in the JSON; dots go down into objects: lesion.volume."""
    of: Text
    """The name of one of outputs, or of something else that has structure here."""
    structure: WrittenCode | None = None
    """The coded structure, where it is none of outputs."""
    side: Side | None = None
    """Its side, where it is none of outputs."""
    concept: WrittenCode
    """What is measured."""
    unit: WrittenUnit
    """Its unit (UCUM)."""


class NumberFile(Document):
    """A JSON file with an object of numbers."""

    file: FileName = "result.json"
    """The file below {output}."""
    measurements: tuple[Measured, ...] = ()
    """Which numbers are which measurement of what."""
    notes: tuple[Text, ...] = ()
    """Keys of short texts for the reader."""
    features: Mapping[Text, Text] = Field(default_factory=dict)
    """For drift: which of the manifest's features is which key."""


class LabelFile(Document):
    """A NIfTI file whose voxels are the labels of `outputs`. Its name may have * in it."""

    file: FileName
    """The file below {output}; its name may have * in it."""
    input: Name | None = None
    """The input on whose voxels the labels are wanted; else the first."""


Variable = Annotated[str, matching(r"[A-Za-z_][A-Za-z0-9_]*", "the name of a variable")]


class Command(Document):
    """An outside program: an argument list, never a shell line.

    `{input}`, `{output}`, `{work}` (an empty folder, where it starts), `{folder}` (the
    pipeline's own), `{python}` and `{parameter:NAME}` are put into each argument and each value
    of `environment`; an argument stays one argument, whatever is put in.
    """

    arguments: tuple[Text, ...] = Field(min_length=1)
    """The program and its arguments, each with the placeholders {input}, {output}, {work},
    {folder}, {python} and {parameter:NAME}; never a shell line.
    """
    convention: Convention = Convention.PLAIN
    """How the program is told where its files are."""
    input: InputFormat = InputFormat.DICOM
    """What it reads."""
    environment: Mapping[Variable, str] = Field(default_factory=dict)
    """Variables that it gets, with the same placeholders."""
    exits: Mapping[Annotated[int, Field(ge=1, le=255)], Exit] = Field(default_factory=dict)
    """What an exit code other than 0 means where it does not mean failure."""
    adopt: tuple[ObjectKind, ...] = ()
    """Kinds of DICOM objects that are taken from it."""
    no_objects: Literal["failed", "nothing-found"] = "failed"
    """What it means to write none of them."""
    labels: LabelFile | None = None
    """A NIfTI file with the labels of outputs."""
    numbers: NumberFile | None = None
    """A JSON file with measurements."""
    isolation: Literal["appliance", "own"] = "appliance"
    """Who isolates it: own, where what it starts (podman, docker) does so and cannot do it inside
    ours.
    """
    output_size: Size = Field(default=512 * 10**6, gt=0, le=2 * 10**9)
    """The most that is read from {output}."""
    """The most that all its folders may take."""

    @model_validator(mode="after")
    def _says_something(self) -> "Command":
        if not self.adopt and self.labels is None and self.numbers is None:
            raise ValueError("nothing is taken from the program; write adopt, labels or numbers")
        return self

    def problems(
        self,
        *,
        outputs: Collection[str],
        inputs: Collection[str],
        parameters: Collection[str],
        features: Collection[str],
    ) -> Iterator[tuple[KeyPath, str]]:
        """Yield key and mistake for what does not fit the names that the manifest has elsewhere."""
        if bool(outputs) != (self.labels is not None):
            yield (
                ("command",),
                "labels say what outputs lie in: write outputs and labels, or neither",
            )
        if self.labels is not None and self.labels.input not in (None, *inputs):
            known = suggest(str(self.labels.input), list(inputs))
            yield ("command", "labels", "input"), f"{self.labels.input!r} is no input{known}"
        yield from self._wrong_numbers(outputs, features)
        places = [*PLACES, *(PARAMETER + name for name in parameters)]
        for path, text in self._texts():
            for name in PLACEHOLDER.findall(text):
                if name not in places:
                    yield path, f"{{{name}}} stands for nothing{suggest(name, places)}"

    def _texts(self) -> Iterator[tuple[KeyPath, str]]:
        for number, text in enumerate(self.arguments):
            yield ("command", "arguments", number), text
        for name, text in self.environment.items():
            yield ("command", "environment", name), text

    def _wrong_numbers(
        self, outputs: Collection[str], features: Collection[str]
    ) -> Iterator[tuple[KeyPath, str]]:
        here: KeyPath = ("command", "numbers")
        if self.numbers is None:
            return
        for number, item in enumerate(self.numbers.measurements):
            path = (*here, "measurements", number)
            if item.of not in outputs and item.structure is None:
                known = suggest(item.of, list(outputs)) if outputs else ""
                yield (*path, "of"), f"{item.of!r} is no output and has no structure here{known}"
            if item.of in outputs and not (item.structure is None and item.side is None):
                yield path, f"structure and side of {item.of!r} are said by outputs; leave them out"
        for name in self.numbers.features:
            if name not in features:
                yield (*here, "features", name), "is not among the features of the manifest"
