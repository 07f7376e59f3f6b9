"""Follows the studies that the demo sent until every route has said its last word."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from appliance.core.model import Delivery, Job
from appliance.core.states import DeliveryState, JobState, RouteState
from appliance.demo.pacs import Held
from results_store.store import Store

_JOB_UNDER_WAY = frozenset({JobState.QUEUED, JobState.RUNNING, JobState.RETRYING})
_DELIVERY_UNDER_WAY = frozenset({DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.SENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyNow:
    """One study at one moment."""

    study_instance_uid: str
    route_count: int  # of the settings; each looks at the study, one after the other
    routes: tuple[tuple[str, RouteState, str], ...]  # name, state, reason; of those that have
    jobs: tuple[Job, ...]
    deliveries: tuple[Delivery, ...]

    @property
    def over(self) -> bool:
        """Whether nothing more will happen by itself."""
        return (
            len(self.routes) == self.route_count
            and all(state is not RouteState.OPEN for _, state, _ in self.routes)
            and not any(job.state in _JOB_UNDER_WAY for job in self.jobs)
            and not any(d.state in _DELIVERY_UNDER_WAY for d in self.deliveries)
        )


def look(store: Store, study_instance_uid: str, route_count: int) -> StudyNow:
    """Return where the study stands with so many routes in the settings."""
    return StudyNow(
        study_instance_uid=study_instance_uid,
        route_count=route_count,
        routes=tuple(
            (status.route, status.state, status.reason)
            for status in store.routes.of_study(study_instance_uid)
        ),
        jobs=store.jobs.of_study(study_instance_uid),
        deliveries=store.deliveries.of_study(study_instance_uid),
    )


def broken_promises(now: StudyNow, arrived: Iterable[Held]) -> Iterator[str]:
    """Yield a sentence for everything that a route promised and that did not arrive."""
    held = {item.sop_instance_uid for item in arrived}
    for name, state, reason in now.routes:
        if state is RouteState.HELD:
            yield f"route {name} is held: {reason}"
    for job in now.jobs:
        if job.state is not JobState.DONE:
            yield f"{job.pipeline} {job.state.value}: {job.reason}"
        if job.shadow:
            yield f"results of {job.pipeline} stay here: {job.shadow}"
    for delivery in now.deliveries:
        if delivery.state is not DeliveryState.DELIVERED:
            what = f"{delivery.result.kind} to {delivery.destination}"
            yield f"{what} {delivery.state.value}: {delivery.reason}"
        elif delivery.result.sop_instance_uid not in held:
            yield f"{delivery.result.kind} counts as delivered, but the PACS does not hold it"
