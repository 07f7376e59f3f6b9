"""A program's JSON → measurements with codes, short texts, features. Hostile until parsed."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Never

from appliance.core.errors import PermanentPipelineError
from appliance.core.model import Feature, Finding, Measurement
from appliance.core.uids import uid_from_name
from pipelines.command_spec import Measured, NumberFile
from pipelines.findings import SIDE_OF
from pipelines.outputs import Output

MAX_BYTES = 1 << 20
MAX_NOTE = 200
MAX_CATEGORY = 64
NOT_GIVEN = "The program gave no value"


class Numbers:
    """The object that a JSON file holds. Raises PermanentPipelineError for any other file."""

    def __init__(self, spec: NumberFile, name: str, data: bytes) -> None:
        self._spec = spec
        self._name = name
        if len(data) > MAX_BYTES:
            raise self._wrong(f"is larger than {MAX_BYTES >> 20} MiB")
        try:
            self._values = json.loads(
                data, object_pairs_hook=self._object, parse_constant=self._no_number
            )
        except (ValueError, RecursionError) as error:
            raise self._wrong(f"is no JSON: {error}") from None
        if not isinstance(self._values, dict):
            raise self._wrong("holds no object with keys")

    def findings(
        self, said: Sequence[Finding], outputs: Sequence[Output], run_uid: str
    ) -> tuple[Finding, ...]:
        """Return `said` with the measurements added, each where it belongs by name and side."""
        found = {(finding.name, finding.side): finding for finding in said}
        by_name = {output.name: output for output in outputs}
        for item in self._spec.measurements:
            side, written = item.side, item.structure
            if written is None:
                side, written = SIDE_OF.get(by_name[item.of].sides), by_name[item.of].structure
            known = found.get((item.of, side)) or Finding(
                name=item.of,
                structure=written.code,
                side=side,
                measurements=(),
                region=None,
                tracking_uid=uid_from_name(run_uid, "tracking", item.of, side or ""),
            )
            measurements = (*known.measurements, self._measurement(item))
            found[item.of, side] = replace(known, measurements=measurements)
        return tuple(found.values())

    def notes(self, clean: Callable[[str], str]) -> Iterator[str]:
        """Yield the texts that are there, on one line each."""
        for key in self._spec.notes:
            value = self._find(key)
            if value is None:
                continue
            if not isinstance(value, str):
                raise self._wrong(f"{key} is no text")
            text = " ".join("".join(c if c.isprintable() else " " for c in value).split())
            if len(text) > MAX_NOTE:
                raise self._wrong(f"{key} is longer than {MAX_NOTE} characters")
            if text:
                yield clean(text)

    def features(self, clean: Callable[[str], str]) -> Iterator[Feature]:
        """Yield the features that are there: a number, or a short text as category."""
        for name, key in self._spec.features.items():
            value = self._find(key)
            if isinstance(value, str):
                if len(value) > MAX_CATEGORY or not value.isprintable():
                    raise self._wrong(f"{key} is no short text on one line")
                yield Feature(group="output", name=name, category=clean(value))
            elif value is not None:
                yield Feature(group="output", name=name, number=self._number(key, value))

    def _measurement(self, item: Measured) -> Measurement:
        value = self._find(item.key)
        return Measurement(
            concept=item.concept.code,
            value=None if value is None else self._number(item.key, value),
            unit=item.unit.code,
            not_measured=NOT_GIVEN if value is None else "",
        )

    def _find(self, key: str) -> object:
        here: object = self._values
        for part in key.split("."):
            if not isinstance(here, dict):
                return None
            here = here.get(part)
        return here

    def _number(self, key: str, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(f"{key} is no number")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise self._wrong(f"{key} is no finite number")
        return number

    def _object(self, pairs: Sequence[tuple[str, object]]) -> Mapping[str, object]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key is there twice")
        return found

    def _no_number(self, text: str) -> Never:
        raise ValueError(f"{text} is no number in JSON")

    def _wrong(self, what: str) -> PermanentPipelineError:
        return PermanentPipelineError(f"{self._name} in its output: {what}")
