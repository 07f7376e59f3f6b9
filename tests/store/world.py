"""A small world for store tests: a clock that stands still, and values with sensible defaults."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from appliance.core.model import (
    Claim,
    Code,
    Feature,
    FeedbackEntry,
    Finding,
    Job,
    JobInput,
    Measurement,
    PipelineResult,
    Priority,
    Reason,
    ReceivedInstance,
    Region,
    ResultObject,
    RouteDecision,
    Segment,
    SelectedInput,
    Side,
)
from results_store.commands import CompletedRun, NewRun
from results_store.facts import InstanceFacts
from results_store.jobs import SendTo
from results_store.store import Store

START = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
LEASE = timedelta(seconds=30)
STUDY = "1.2.3.1"
HIPPOCAMPUS = Code(value="5000", scheme="SCT", meaning="Hippocampus")
VOLUME = Code(value="118565006", scheme="SCT", meaning="Volume")
MILLILITRE = Code(value="mL", scheme="UCUM", meaning="milliliter")


class SteppedClock:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self._now = START

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return (self._now - START).total_seconds()

    def advance(self, by: timedelta) -> datetime:
        self._now += by
        return self._now


def received(number: int = 1, **changes: Any) -> ReceivedInstance:
    study = changes.get("study_instance_uid", STUDY)
    values: dict[str, Any] = {
        "study_instance_uid": study,
        "series_instance_uid": f"{study}.7",
        "sop_instance_uid": f"{study}.7.{number}",
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.4",
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "calling_ae_title": "MR01",
        "called_ae_title": "APPLIANCE",
        "peer_address": "127.0.0.1",
        "received_at": START + timedelta(seconds=number),
        "size": 1000,
        "checksum": hashlib.sha256(str(number).encode()).hexdigest(),
    } | changes
    name = "".join(
        str(values[key]) for key in ("study_instance_uid", "sop_instance_uid", "checksum")
    )
    values.setdefault("spool_name", hashlib.sha256(name.encode()).hexdigest())
    return ReceivedInstance(**values)


def facts(**changes: Any) -> InstanceFacts:
    values: dict[str, Any] = {
        "modality": "MR",
        "number_of_frames": 1,
        "accession_number": "A1",
        "study_date": "20261121",
        "study_time": "0800",
        "patient_key": "k" * 64,
        "is_own": False,
    }
    return InstanceFacts(**(values | changes))


def decision(route: str = "brain", *, matched: bool = True) -> RouteDecision:
    reason = Reason(condition="Modality: MR", found="MR", holds=True, series_instance_uid="1.2")
    chosen = SelectedInput(
        pipeline="brain-mr",
        input_name="t1",
        series_instance_uid=f"{STUDY}.7",
        sop_instance_uids=(f"{STUDY}.7.1", f"{STUDY}.7.2"),
        why="the only one",
    )
    inputs = (chosen,) if matched else ()
    return RouteDecision(
        route=route, matched=matched, reasons=(reason,), inputs=inputs, summary="It is an MR."
    )


def new_run(**changes: Any) -> NewRun:
    item = JobInput(
        input_name="t1", sop_instance_uid="1.2.3", series_instance_uid="1.2", spool_name="ab"
    )
    values: dict[str, Any] = {
        "pipeline": "brain-mr",
        "pipeline_version": "1.0",
        "pipeline_digest": "d" * 64,
        "priority": Priority.ROUTINE,
        "inputs": (item,),
        "send": (SendTo(destination="pacs", objects=("sr", "seg")),),
        "feedback_form": "brain-volumes",
        "run_after": START,
    }
    return NewRun(**(values | changes))


def submit(store: Store, study: str = STUDY, route: str = "brain", **changes: Any) -> Job:
    """Index an image of the study and queue one run."""
    store.studies.index(received(study_instance_uid=study), facts())
    now = changes.pop("now", START)
    runs = (new_run(**changes),)
    (job,) = store.commands.submit_runs(study, decision(route), "quiet", runs, now)
    return job


def claim(store: Store, worker: str = "w1", now: datetime = START) -> Claim:
    job = store.jobs.claim(worker, ("brain-mr",), LEASE, now)
    assert job is not None
    return job.claim()


def result() -> PipelineResult:
    volume = Measurement(concept=VOLUME, value=4.5, unit=MILLILITRE)
    missing = Measurement(concept=VOLUME, value=None, unit=MILLILITRE, not_measured="cut off")
    region = Region(segment_number=1, series_instance_uid="1.2")
    findings = tuple(
        Finding(
            name="Hippocampus",
            structure=HIPPOCAMPUS,
            side=side,
            measurements=(volume, missing),
            region=region if side else None,
            tracking_uid=f"2.25.{number}",
        )
        for number, side in enumerate((Side.LEFT, Side.RIGHT, None), 1)
    )
    segment = Segment(
        number=1,
        name="Hippocampus",
        structure=HIPPOCAMPUS,
        category=Code(value="123037004", scheme="SCT", meaning="Anatomical Structure"),
        side=Side.LEFT,
        tracking_uid="2.25.1",
        color=(10, 20, 30),
    )
    features = (
        Feature(group="metadata", name="scanner", category="MR01"),
        Feature(group="output", name="hippocampus", number=9.0),
    )
    return PipelineResult(
        findings=findings,
        segments=(segment,),
        features=features,
        notes=("the head was set upright",),
        embedding=(0.5, -1.0),
    )


def result_object(kind: str, uid: str) -> ResultObject:
    return ResultObject(
        kind=kind,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.66.4",
        sop_instance_uid=uid,
        series_instance_uid=f"{uid}.1",
        series_description=f"Brain {kind}",
        path=f"aa/{uid}/{kind}.dcm",
        sha256="e" * 64,
        size=2000,
    )


def completed(run_uid: str, *, shadow: str = "") -> CompletedRun:
    objects = (result_object("seg", f"{run_uid}.1"), result_object("sr", f"{run_uid}.2"))
    return CompletedRun(
        result=result(),
        objects=objects,
        device="cpu",
        seconds={"infer": 1.5},
        patient_key="k" * 64,
        shadow=shadow,
    )


def finish(store: Store, worker: str = "w1", now: datetime = START) -> Job:
    """Claim the next job and complete it."""
    held = claim(store, worker, now)
    run_uid = store.jobs.get(held.job_id).run_uid[:50]
    store.commands.complete_run(held, completed(run_uid), now)
    return store.jobs.get(held.job_id)


def feedback(job: Job, **changes: Any) -> FeedbackEntry:
    values: dict[str, Any] = {
        "job_id": job.job_id,
        "study_instance_uid": job.study_instance_uid,
        "account": "reader",
        "form": "brain-volumes",
        "answers": {"agree": "partly", "reasons": ("too large", "=wrong side")},
        "opened_at": START,
        "answered_at": START + timedelta(seconds=40),
        "seconds": 38.5,
    }
    return FeedbackEntry(**(values | changes))
