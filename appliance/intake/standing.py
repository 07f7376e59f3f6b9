"""What announced procedure steps and instances mean for the series of a route (pure).

A list that was announced, by a step that was completed (MPPS) or as available (IAN), settles a
series whose images are exactly those that it names. Several lists are one: a study has several
steps, and an archive tells of instances as they come.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from appliance.intake.arrival import Arrival
from results_store.announcements import Announced, Announcement, Kind

_LISTING = frozenset({Announced.COMPLETED, Announced.AVAILABLE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the chosen series stand to what was announced."""

    settled: frozenset[str]  # series that have exactly the images that were listed
    closes_by: Kind | None  # who says that all is here: all are settled, and no listed one is away
    short: tuple[str, ...]  # what is missing of the lists; or a step goes on
    stopped: str  # why a step was discontinued that these series may be of; "" where none was


def standing(
    announced: Sequence[Announcement], chosen: Sequence[Arrival], here: Collection[str]
) -> Standing:
    """Return how the chosen series stand. `here` are all series of which something came."""
    lists = _lists(one for one in announced if one.state in _LISTING)
    settled = frozenset(
        one.series_instance_uid
        for one in chosen
        if _is_settled(one, lists.get(one.series_instance_uid, frozenset()))
    )
    all_settled = bool(chosen) and len(settled) == len(chosen)
    # A series of which nothing came yet may be a better one than those that were chosen.
    away = any(found and uid not in here for uid, found in lists.items())
    goes_on = not all_settled and any(one.state is Announced.IN_PROGRESS for one in announced)
    return Standing(
        settled=settled,
        closes_by=_by(announced, chosen) if all_settled and not away else None,
        short=(
            *_short(chosen, lists),
            *(("a procedure step is in progress",) if goes_on else ()),
        ),
        stopped=_stopped(announced, chosen, all_settled=all_settled),
    )


def _lists(announced: Iterable[Announcement]) -> Mapping[str, frozenset[str]]:
    lists: defaultdict[str, frozenset[str]] = defaultdict(frozenset)
    for one in announced:
        for uid, found in one.listed.items():
            lists[uid] |= found
    return lists


def _is_settled(one: Arrival, listed: frozenset[str]) -> bool:
    return bool(listed) and one.image_uids <= listed <= one.image_uids | one.other_uids


def _by(announced: Sequence[Announcement], chosen: Sequence[Arrival]) -> Kind:
    """Return who settles the series: the modality's own list, if it alone does."""
    steps = _lists(one for one in announced if one.state is Announced.COMPLETED)
    by_steps = all(_is_settled(c, steps.get(c.series_instance_uid, frozenset())) for c in chosen)
    return Kind.MPPS if by_steps else Kind.IAN


def _short(chosen: Sequence[Arrival], lists: Mapping[str, frozenset[str]]) -> Iterable[str]:
    for one in chosen:
        listed = lists.get(one.series_instance_uid, frozenset())
        missing = len(listed - one.image_uids - one.other_uids)
        if missing:
            yield f"{one.label} lacks {missing} of {len(listed)} images that were announced"


def _stopped(
    announced: Sequence[Announcement], chosen: Sequence[Arrival], *, all_settled: bool
) -> str:
    """Return why a discontinued step concerns the route.

    One that names a chosen series does; one that does not, unless other lists settle them all:
    what was broken off and made again by another step is complete.
    """
    series = {one.series_instance_uid for one in chosen}
    for one in announced:
        concerns = not all_settled or not series.isdisjoint(one.listed)
        if one.state is Announced.DISCONTINUED and concerns:
            why = f" ({one.reason})" if one.reason else ""
            return f"a procedure step was discontinued{why}"
    return ""
