"""YAML text → a frozen pydantic model; every mistake at once, each with file, line and key.

Used for the settings, pipeline manifests and feedback forms alike. Nothing here opens a file.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails

from appliance.core.errors import ConfigError

KeyPath = tuple[str | int, ...]


class Document(BaseModel):
    """Base of everything people write: frozen, unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


D = TypeVar("D", bound=Document)


def mistakes_at(*mistakes: tuple[KeyPath, str]) -> ValidationError:
    """Return the error that tells each message at its own key below the validated value."""
    return ValidationError.from_exception_data(
        "Document",
        [
            InitErrorDetails(
                type="value_error", loc=path, input=None, ctx={"error": ValueError(message)}
            )
            for path, message in mistakes
        ],
    )


class Lines:
    """Where each key stands, and which keys stand twice."""

    def __init__(self, node: yaml.Node | None) -> None:
        self._lines: dict[KeyPath, int] = {}
        self.duplicates: list[tuple[KeyPath, int, int]] = []
        if node is not None:
            self._walk(node, ())

    def _walk(self, node: yaml.Node, path: KeyPath) -> None:
        self._lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                here = (*path, str(key.value))
                line = key.start_mark.line + 1
                if here in self._lines:
                    self.duplicates.append((here, line, self._lines[here]))
                self._lines[here] = line
                self._walk(value, here)
        elif isinstance(node, yaml.SequenceNode):
            for number, item in enumerate(node.value):
                self._walk(item, (*path, number))

    def of(self, path: KeyPath) -> int:
        """Return the line of `path`, or of the nearest thing around it."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)


class _Loader(yaml.SafeLoader):
    """Only true and false are booleans, as in YAML 1.2: NO is a value of DICOM, on a key here."""


_BOOLEAN = "tag:yaml.org,2002:bool"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag != _BOOLEAN]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    _BOOLEAN, re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The text that a document was read from, for those who find a mistake in it later."""

    name: str
    lines: Lines

    def problem(self, path: KeyPath, text: str) -> str:
        """Return the one form that a problem at this key has."""
        return problem(self.name, self.lines.of(path), path, text)


def parse_yaml(text: str, name: str) -> tuple[object, Lines]:
    """Return the plain data and where its keys stand. Raises ConfigError."""
    try:
        for token in yaml.scan(text):
            if isinstance(token, yaml.AliasToken):
                # They can nest without end, or grow without end from a few lines.
                text = f"the alias *{token.value} is not read here; write the value itself"
                raise ConfigError(f"{name}:{token.start_mark.line + 1}: (the whole file): {text}")
        node = yaml.compose(text, Loader=_Loader)
        data = yaml.load(text, Loader=_Loader)  # noqa: S506, a safe one
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        problem = getattr(error, "problem", None) or str(error)
        if "\\t" in problem:
            problem = "a tab; YAML wants spaces"
        raise ConfigError(f"{name}:{line}: not readable as YAML: {problem}") from None
    except (RecursionError, ValueError) as error:
        raise ConfigError(f"{name}:1: not readable as YAML: {error}") from None
    return data, Lines(node)


def parse_document(text: str, name: str, model: type[D]) -> D:
    """Return `text` as a `model`. Raises ConfigError with one line for every mistake."""
    data, lines = parse_yaml(text, name)
    problems = [
        problem(name, again, path, f"written twice (first on line {first}); keep one")
        for path, again, first in lines.duplicates
    ]
    document: D | None = None
    try:
        document = model.model_validate({} if data is None else data)
    except ValidationError as error:
        problems += list(_explain(error, name, lines, model))
    if problems or document is None:
        raise ConfigError(*sorted(problems, key=_line_number))
    return document


def problem(name: str, line: int, path: KeyPath, text: str) -> str:
    """Return the one form that every configuration problem has."""
    key = ".".join(str(part) for part in path) or "(the whole file)"
    return f"{name}:{line}: {key}: {text}"


def suggest(word: str, known: Iterator[str] | list[str]) -> str:
    """Return "; did you mean …?" or the known words, for names that point to nothing."""
    words = list(known)
    near = difflib.get_close_matches(word, words, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known: {', '.join(sorted(words))}" if words else "; none is defined"


_SHOULD_BE = "Input should be "
# In the words of a YAML file, by pydantic's name of the mistake.
_WANTED: Mapping[str, str] = MappingProxyType(
    {
        "model_type": "keys with their values",
        "dict_type": "keys with their values",
        "mapping_type": "keys with their values",
        "tuple_type": "a list",
        "list_type": "a list",
        "string_type": "text",
        "bool_type": "true or false",
        "bool_parsing": "true or false",
        "int_type": "a whole number",
        "int_parsing": "a whole number",
        "int_from_float": "a whole number",
        "float_type": "a number",
        "float_parsing": "a number",
    }
)


def _line_number(text: str) -> tuple[str, int]:
    name, _, rest = text.partition(":")
    return name, int(rest.partition(":")[0])


def _explain(
    error: ValidationError, name: str, lines: Lines, model: type[Document]
) -> Iterator[str]:
    for detail in error.errors(include_url=False):
        path = tuple(part for part in detail["loc"])
        yield problem(name, lines.of(path), path, _say(detail, model, path))


def _say(detail: ErrorDetails, model: type[Document], path: KeyPath) -> str:
    if detail["type"] == "extra_forbidden":
        return f"unknown key{suggest(str(path[-1]), known_keys(model, path[:-1]))}"
    if detail["type"] == "missing":
        return "is missing; write it"
    if detail["type"] == "value_error":
        return detail["msg"].removeprefix("Value error, ")
    given = detail["input"]
    instead = f"not {'nothing' if given is None else repr(given)}"
    wanted = _WANTED.get(detail["type"])
    if wanted is None and detail["msg"].startswith(_SHOULD_BE):
        wanted = detail["msg"].removeprefix(_SHOULD_BE)
    return f"{detail['msg']}, {instead}" if wanted is None else f"write {wanted}, {instead}"


def known_keys(model: type[BaseModel], path: KeyPath) -> list[str]:
    """Return the keys allowed at `path`, as far as the model's types tell."""
    here: object = model
    for part in path:
        here = _step(here, part)
    found = list(_models_in(here))
    return [field.alias or key for m in found for key, field in m.model_fields.items()]


def _step(annotation: object, part: str | int) -> object:
    for model in _models_in(annotation):
        for key, field in model.model_fields.items():
            if part in (key, field.alias):
                return field.annotation
    arguments = [a for a in getattr(annotation, "__args__", ()) if a is not Ellipsis]
    return arguments[-1] if arguments else None


def _models_in(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    found: list[type[BaseModel]] = []
    for argument in getattr(annotation, "__args__", ()):
        if isinstance(argument, type) and issubclass(argument, BaseModel):
            found.append(argument)
    return found
