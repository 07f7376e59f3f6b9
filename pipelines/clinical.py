"""What a result is to a reader, and what that allows a route to do: one table.

The steps are those in which hospitals let a model in: first as a net behind the reader, then
before him in the list, then beside him, at last in his place. What each may do follows the
regulators' classes of such software. Triage and prioritisation tell that a study should be seen;
they do not mark, highlight or point to a place in the images (21 CFR 892.2080), so no
segmentation and no picture of theirs leaves. Software that points (892.2070, 892.2090) or
measures (892.2050) is read beside the images by somebody who reads them himself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from appliance.core.model import ObjectKind, Priority


class ClinicalRole(StrEnum):
    """What a result is to a reader. Each has more weight than the one before it."""

    SAFETY = "safety"
    PRIORITISATION = "prioritisation"
    TRIAGE = "triage"
    SECOND_READER = "second-reader"
    PRIMARY = "primary"

    def exceeds(self, other: "ClinicalRole") -> bool:
        """Return whether this one has more weight than `other`."""
        order = list(ClinicalRole)
        return order.index(self) > order.index(other)


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What a role means, and what a route may do with a result in it."""

    meaning: str
    objects: frozenset[ObjectKind]  # that may leave
    priorities: frozenset[Priority]  # of the jobs


_WORDS = frozenset({ObjectKind.SR})
# What lies beside the images; not what is read or treated by in their place.
_BESIDE = frozenset(ObjectKind) - {ObjectKind.IMAGE, ObjectKind.RT, ObjectKind.OTHER}

ALLOWED: Mapping[ClinicalRole, Allowed] = MappingProxyType(
    {
        ClinicalRole.SAFETY: Allowed(
            meaning="looked at after the report was written, for what it may have missed",
            objects=_WORDS,
            priorities=frozenset({Priority.ROUTINE}),
        ),
        ClinicalRole.PRIORITISATION: Allowed(
            meaning="orders the worklist; every study is read as before, only sooner or later",
            objects=_WORDS,
            priorities=frozenset(Priority),
        ),
        ClinicalRole.TRIAGE: Allowed(
            meaning="tells somebody at once that a study should be seen; points to no place in it",
            objects=_WORDS,
            priorities=frozenset(Priority),
        ),
        ClinicalRole.SECOND_READER: Allowed(
            meaning="measures and marks; read beside the images by somebody who reads them himself",
            objects=_BESIDE,
            priorities=frozenset(Priority),
        ),
        ClinicalRole.PRIMARY: Allowed(
            meaning="reads in the place of a person",
            objects=frozenset(ObjectKind),
            priorities=frozenset(Priority),
        ),
    }
)


def roles_table() -> str:
    """Return the table as Markdown."""
    rows = ["| role | what the result is | objects | priorities |", "| --- | --- | --- | --- |"]
    for role, allowed in ALLOWED.items():
        objects = ", ".join(f"`{kind}`" for kind in sorted(allowed.objects))
        priorities = ", ".join(f"`{one.value}`" for one in Priority if one in allowed.priorities)
        rows.append(f"| `{role.value}` | {allowed.meaning} | {objects} | {priorities} |")
    return "\n".join(rows)
