"""A stored study as rules see it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from appliance.core.model import Door, SelectedInput, StudySummary
from appliance.intake.arrival import Arrival
from appliance.intake.expected import announced_images
from appliance.intake.headers import study_summary
from appliance.intake.scan import HeaderCache
from appliance.routing.decide import series_label
from appliance.routing.images import images_only
from appliance.routing.selection import image_count
from results_store.fetches import Fetch, Way
from results_store.store import Store
from results_store.studies import IndexedInstance
from scp.spool import Spool


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredStudy:
    """What is here of a study, without our own objects; never empty."""

    summary: StudySummary
    instances: tuple[IndexedInstance, ...]

    def last_image_at(self) -> datetime:
        """Return when the last image came; without any image, the last object."""
        arrivals = self.arrivals({}).values()
        came = [one.last_received_at for one in arrivals]
        return max(came or [one.received_at for one in self.instances])

    def arrivals(self, counted: Mapping[str, int | None]) -> Mapping[str, Arrival]:
        """Return what came of each series of images. `counted` is what a peer says of each."""
        came: defaultdict[str, dict[str, datetime]] = defaultdict(dict)
        for one in self.instances:
            came[one.series_instance_uid][one.sop_instance_uid] = one.received_at
        found: dict[str, Arrival] = {}
        for series in map(images_only, self.summary.series):
            uid = series.series_instance_uid
            images = frozenset(one.sop_instance_uid for one in series.instances)
            if images:
                found[uid] = Arrival(
                    series_instance_uid=uid,
                    label=series_label(series),
                    images=image_count(series),
                    image_uids=images,
                    other_uids=frozenset(came[uid]) - images,
                    last_received_at=max(came[uid][one] for one in images),
                    announced_images=announced_images(series),
                    counted_instances=counted.get(uid),
                )
        return found

    def series_uids(self) -> frozenset[str]:
        """Return every series of which something is here."""
        return frozenset(one.series_instance_uid for one in self.instances)

    def files(self, chosen: SelectedInput) -> tuple[tuple[str, str], ...]:
        """Return (SOP Instance UID, name in the spool) of each image of a chosen series."""
        names = {
            one.sop_instance_uid: one.spool_name
            for one in self.instances
            if one.series_instance_uid == chosen.series_instance_uid
        }
        return tuple((uid, names[uid]) for uid in chosen.sop_instance_uids)


class Library:
    """Reads stored studies."""

    def __init__(self, store: Store, spool: Spool, headers: HeaderCache) -> None:
        self._store = store
        self._spool = spool
        self._headers = headers

    def study(self, study_instance_uid: str) -> StoredStudy | None:
        """Return the study, or None where nothing of it is here (any more).

        Raises BadInstance where an indexed file is gone or no longer readable.
        """
        instances = self._store.studies.instances(study_instance_uid)
        if not instances:
            return None
        headers = [self._headers.read(one.spool_name, self._spool) for one in instances]
        summary = study_summary(study_instance_uid, headers)
        door = door_of(instances, self._store.fetches.of_study(study_instance_uid))
        return StoredStudy(summary=replace(summary, door=door), instances=instances)


def door_of(instances: Iterable[IndexedInstance], fetches: Iterable[Fetch]) -> Door:
    """Return how the study came: pushed only if every image was.

    What a C-MOVE makes a node send us looks like any C-STORE, so the time tells: what comes
    while a study is moved counts as fetched.
    """
    moves = [(one.asked_at, one.until) for one in fetches if one.way is Way.MOVE]
    doors = {one.door for one in instances}
    times = [one.received_at for one in instances if one.door is Door.PUSHED]
    if any(begin <= time <= end for begin, end in moves for time in times):
        doors.add(Door.FETCHED)
    return next((door for door in (Door.FETCHED, Door.IMPORTED) if door in doors), Door.PUSHED)
