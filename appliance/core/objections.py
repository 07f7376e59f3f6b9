"""Why results stay here although a route sends."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    """Why results of a pipeline may not leave by a route: they stay here, in shadow."""

    key: tuple[str | int, ...]  # of the settings, where it is put right
    reason: str
    advice: str
    since: date | None = None  # the first day on which it holds; None: from the beginning
    until: date | None = None  # the last one; None: without end

    def holds(self, day: date) -> bool:
        """Return whether it holds on `day`."""
        return (self.since is None or day >= self.since) and (
            self.until is None or day <= self.until
        )


def reasons_on(objections: Iterable[Objection], day: date) -> str:
    """Return the reasons that hold on `day`, each once, as one text; "" where there is none."""
    return "; ".join(dict.fromkeys(one.reason for one in objections if one.holds(day)))
