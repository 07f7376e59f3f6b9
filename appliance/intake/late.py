"""Images of a chosen series that came after the route's jobs were queued: told, or run again."""

import logging
from collections.abc import MutableMapping

from appliance.core.log import Event, log_event
from appliance.intake.options import Late, RoutePlan
from results_store.store import Store

_WORDS = {
    Late.IGNORE: "came after the route's jobs were queued; not used",
    Late.RERUN: "came after the route's jobs were queued; the route runs again",
}


class LateImages:
    """Finds late images and does what the route says of them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def opens(
        self,
        uid: str,
        plan: RoutePlan,
        told: MutableMapping[str, int],
        *,
        is_news: bool,
    ) -> bool:
        """Return whether the study's CLOSED route, which has jobs, opens again for late images.

        `told` has how many were told by route, so that nothing is told twice. `is_news`: images
        came since the route closed; else it left out what is late here.
        """
        route = plan.route.name
        late = self._count(uid, route)
        if late <= told.get(route, 0):
            return False
        told[route] = late
        runs_again = plan.late is Late.RERUN and is_news
        self._tell(uid, route, late, Late.RERUN if runs_again else Late.IGNORE)
        if runs_again:
            self._store.routes.run_again(uid, route, f"{late} late images came")
            told.pop(route)
        return runs_again

    def _count(self, uid: str, route: str) -> int:
        decisions = [one.decision for one in self._store.decisions.of_study(uid)]
        inputs = [i for one in decisions if one.route == route for i in one.inputs]
        frozen = {uid for chosen in inputs for uid in chosen.sop_instance_uids}
        series = {chosen.series_instance_uid for chosen in inputs}
        return sum(
            one.series_instance_uid in series and one.sop_instance_uid not in frozen
            for one in self._store.studies.instances(uid)
        )

    def _tell(self, uid: str, route: str, late: int, what: Late) -> None:
        fields: dict[str, object] = {"study_instance_uid": uid, "route": route}
        fields |= {"reason": _WORDS[what], "count": late}
        log_event(Event.ROUTE_LATE, level=logging.WARNING, **fields)
        self._store.events.record(Event.ROUTE_LATE, fields)
