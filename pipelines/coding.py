"""The codes of a manifest: of which schemes they are, and whether they mean what is written."""

import importlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import field_validator

from appliance.core.documents import Document, KeyPath, parse_yaml, problem
from appliance.core.errors import ConfigError
from appliance.core.model import Code, CodingScheme
from appliance.core.uids import is_valid_uid
from pipelines.fields import Line, Text, WrittenCode, matching
from pipelines.vocabulary import SCHEMES, is_declared_by_users

_Meanings = Mapping[str, Mapping[str, frozenset[str]]]  # by designator and value


class WrittenScheme(Document):
    """A private coding scheme of the pipeline's; every object that uses it declares it."""

    designator: Annotated[
        str, matching(r"99[0-9A-Za-z_]{1,14}", "a private designator, like 99HOSPITAL")
    ]
    """Its designator, like 99HOSPITAL."""
    name: Text
    """Its name."""
    uid: str
    """Its UID, one of your own."""
    responsible: Line
    """The organization that is responsible for it."""

    @field_validator("uid")
    @classmethod
    def _is_uid(cls, uid: str) -> str:
        if not is_valid_uid(uid):
            raise ValueError(f"{uid!r} is no UID; write one of your own, for instance 2.25.…")
        return uid

    @property
    def scheme(self) -> CodingScheme:
        """Return the same in the shared vocabulary."""
        return CodingScheme(
            designator=self.designator,
            name=self.name,
            uid=self.uid,
            responsible=self.responsible,
        )


def codes_in(value: object, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Code]]:
    """Yield every code below `value`, a part of a manifest, with its key."""
    if isinstance(value, WrittenCode):
        yield path, value.code
    elif isinstance(value, Document):
        for key in type(value).model_fields:
            yield from codes_in(getattr(value, key), (*path, key))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from codes_in(item, (*path, str(key)))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for number, item in enumerate(value):
            yield from codes_in(item, (*path, number))


def unknown_schemes(
    manifest: Document, declared: Sequence[WrittenScheme]
) -> Iterator[tuple[KeyPath, str]]:
    """Yield the key and what to do for each code of a scheme that nobody declares."""
    own = {scheme.designator for scheme in declared}
    for path, code in codes_in(manifest):
        if code.scheme in SCHEMES or code.scheme in own:
            continue
        if is_declared_by_users(code.scheme):
            advice = f"{code.scheme} is private; declare it under coding_schemes"
        else:
            advice = f"{code.scheme!r} is no coding scheme; known: {', '.join(SCHEMES)}"
        yield (*path, "scheme"), advice


def verify_codes(manifest: Document, file: Path) -> None:
    """Raise ConfigError for every code that is known under another meaning than is written.

    `file` is where `manifest` was read from. Takes a second, for it reads PS3.16 as pydicom has it.
    """
    wrong = dict(_misnamed(codes_in(manifest), known_meanings()))
    if wrong:
        _, lines = parse_yaml(file.read_text(encoding="utf-8"), str(file))
        raise ConfigError(
            *(problem(str(file), lines.of(path), path, text) for path, text in wrong.items())
        )


def known_meanings() -> _Meanings:
    """Return every meaning that PS3.16 has for a code."""
    # Tables of two megabytes, which only who checks a pipeline needs.
    tables = importlib.import_module("pydicom.sr._concepts_dict").concepts
    found: dict[str, dict[str, set[str]]] = {}
    for scheme, by_keyword in tables.items():
        values = found.setdefault(scheme, {})
        for codes in by_keyword.values():
            for value, (meaning, _) in codes.items():
                values.setdefault(value, set()).add(meaning)
    return {
        scheme: {value: frozenset(meanings) for value, meanings in values.items()}
        for scheme, values in found.items()
    }


def _misnamed(
    codes: Iterator[tuple[KeyPath, Code]], known: _Meanings
) -> Iterator[tuple[KeyPath, str]]:
    for path, code in codes:
        meanings = known.get(code.scheme, {}).get(code.value)
        if meanings is None:
            # All codes of DICOM's own scheme are in PS3.16; of the others only some.
            if code.scheme == "DCM":
                yield (*path, "value"), f"{code.value!r} is no code of DCM; look it up again"
        elif _plain(code.meaning) not in map(_plain, meanings):
            yield (*path, "meaning"), _misnaming(code, meanings)


def _misnaming(code: Code, meanings: frozenset[str]) -> str:
    said = " or ".join(repr(one) for one in sorted(meanings, key=lambda one: (len(one), one)))
    return (
        f"{code.scheme} {code.value} means {said}, not {code.meaning!r}; "
        "write that, or the code of what you mean"
    )


def _plain(meaning: str) -> str:
    """Return `meaning` without its semantic tag ("(body structure)"), case and punctuation."""
    return re.sub(r"[^a-z0-9]+", " ", re.sub(r"\s\([a-z ]+\)$", "", meaning.lower())).strip()
