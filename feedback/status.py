"""Where things stand, in plain words (pure)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from appliance.core.log import Event
from appliance.core.model import Delivery, Job, ObjectKind
from appliance.core.states import DeliveryState, JobState, RouteState
from results_store.routes import RouteStatus, StoredDecision
from results_store.trail import StoredEvent


class Mood(StrEnum):
    """How a status is drawn; the words say the same."""

    READY = "ready"
    BUSY = "busy"
    WAITING = "waiting"
    ATTENTION = "attention"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """One line about a study, a run or a delivery."""

    mood: Mood
    words: str
    why: str = ""
    progress: float | None = None  # 0 … 1 while something runs


ACTIVE = frozenset({JobState.QUEUED, JobState.RUNNING, JobState.RETRYING})

_JOB_WORDS = {
    JobState.QUEUED: (Mood.WAITING, "Waiting for its turn"),
    JobState.RUNNING: (Mood.BUSY, "Still running"),
    JobState.RETRYING: (Mood.WAITING, "Will be tried again"),
    JobState.DONE: (Mood.READY, "Result ready"),
    JobState.REFUSED: (Mood.ATTENTION, "Not run on these images"),
    JobState.FAILED: (Mood.ATTENTION, "Failed; no result"),
    JobState.CANCELLED: (Mood.NONE, "Cancelled; no result"),
}
_SIGNALS = {
    "mpps": "the modality completed the procedure step, and every image that it lists is here",
    "ian": "every image that was announced as available is here",
    "quiet": "no further image came in the route's quiet time",
    "quiet+counts": "no further image came in the quiet time, and all that were announced are here",
    "at-most": "the longest time to wait was over",
    "released": "a person let it go on with what is here",
    "held": "held",
    "settings": "the settings no longer have this route",
}
_DELIVERY_WORDS = {
    DeliveryState.PENDING: (Mood.WAITING, "waits to be sent"),
    DeliveryState.SENDING: (Mood.BUSY, "is being sent"),
    DeliveryState.SENT: (Mood.BUSY, "sent; waiting for proof that it arrived"),
    DeliveryState.DELIVERED: (Mood.READY, "delivered"),
    DeliveryState.HELD: (Mood.ATTENTION, "held back; a person has to look"),
    DeliveryState.FAILED: (Mood.ATTENTION, "not delivered"),
    DeliveryState.CANCELLED: (Mood.NONE, "cancelled"),
}
_OBJECT_WORDS = {
    ObjectKind.SR: "Measurements (SR)",
    ObjectKind.SEG: "Segmentation (SEG)",
    ObjectKind.SC: "Pictures (SC)",
    ObjectKind.PDF: "Document (PDF)",
    ObjectKind.MAP: "Parametric map",
    ObjectKind.PR: "Presentation state",
    ObjectKind.RT: "Structures (RT)",
    ObjectKind.IMAGE: "Derived images",
    ObjectKind.OTHER: "Other object",
}


def of_job(job: Job) -> Status:
    """Return where one run stands."""
    mood, words = _JOB_WORDS[job.state]
    if job.state is not JobState.RUNNING:
        return Status(mood=mood, words=words, why=job.reason)
    phase = f"{job.phase}, " if job.phase else ""
    return Status(mood=mood, words=f"{words}: {phase}{job.progress:.0%}", progress=job.progress)


def signal_words(signal: str) -> str:
    """Return what closed a route, for people."""
    return _SIGNALS.get(signal, signal)


def of_route(route: RouteStatus, decision: StoredDecision | None) -> Status:
    """Return where a route without any run stands."""
    match route.state:
        case RouteState.OPEN:
            return Status(mood=Mood.WAITING, words="Waiting for images", why=route.reason)
        case RouteState.HELD:
            return Status(mood=Mood.ATTENTION, words="Held", why=route.reason)
        case RouteState.CLOSED:
            why = decision.decision.summary if decision else ""
            if decision and decision.decision.matched:
                return Status(mood=Mood.NONE, words="Not run", why=route.reason or why)
            return Status(mood=Mood.NONE, words="Not run: the images do not fit", why=why)


def of_study(
    jobs: Sequence[Job], routes: Sequence[RouteStatus], decisions: Sequence[StoredDecision]
) -> Status:
    """Return the one line that the worklist shows: what most needs a reader's eye first."""
    runs = newest_runs(jobs)
    for state in (JobState.RUNNING, JobState.RETRYING, JobState.QUEUED):
        for job in runs:
            if job.state is state:
                return of_job(job)
    done = [job for job in runs if job.state is JobState.DONE]
    if done:
        words = "Results ready" if len(done) == len(runs) else "Some results ready"
        return Status(mood=Mood.READY, words=words, why=", ".join(job.pipeline for job in done))
    if runs:
        return of_job(runs[0])
    return _of_routes(routes, decisions)


def newest_runs(jobs: Sequence[Job]) -> tuple[Job, ...]:
    """Return the newest run of each route and pipeline, in the order of their first runs."""
    newest: dict[tuple[str, str], Job] = {}
    for job in sorted(jobs, key=lambda job: job.run_number):
        newest[(job.route, job.pipeline)] = job
    return tuple(newest.values())


def latest_decisions(decisions: Sequence[StoredDecision]) -> dict[str, StoredDecision]:
    """Return each route's last decision."""
    return {stored.decision.route: stored for stored in decisions}


def late_words(events: Sequence[StoredEvent]) -> dict[str, str]:
    """Return what was told last of late images of each route."""
    return {
        str(one.fields.get("route")): "{count} of an input series {reason}".format(**one.fields)
        for one in events
        if one.event is Event.ROUTE_LATE
    }


def object_words(kind: str) -> str:
    """Return what a kind of result object is called."""
    return _OBJECT_WORDS[ObjectKind(kind)]


def of_delivery(delivery: Delivery) -> Status:
    """Return where one object on its way stands."""
    mood, words = _DELIVERY_WORDS[delivery.state]
    return Status(
        mood=mood,
        words=f"{object_words(delivery.result.kind)} to {delivery.destination}: {words}",
        why=delivery.reason,
    )


def _of_routes(routes: Sequence[RouteStatus], decisions: Sequence[StoredDecision]) -> Status:
    decided = latest_decisions(decisions)
    for state in (RouteState.HELD, RouteState.OPEN):
        for route in routes:
            if route.state is state:
                return of_route(route, decided.get(route.route))
    if not routes:
        return Status(mood=Mood.WAITING, words="Received; not looked at yet")
    if len(routes) == 1:
        return of_route(routes[0], decided.get(routes[0].route))
    return Status(mood=Mood.NONE, words="Not run: no rule fits these images")
