"""The tables. No patient names; PatientID only as a keyed hash, in `patient_key`.

types.py     column types and forms, the metadata
received.py  study, instance
fetched.py   what was asked for from other nodes, what was imported
announced.py what peers announced: procedure steps, available instances
queue.py     routes, decisions, jobs, pauses
outcome.py   what runs produced, and the outbox
said.py      feedback, accounts, audit, events
watched.py   reference periods and drift points
registered.py  versions of pipelines and their releases
"""

from results_store.schema import (
    announced,
    fetched,
    outcome,
    queue,
    received,
    registered,
    said,
    watched,
)
from results_store.schema.types import metadata

APPEND_ONLY = (
    "route_event",
    "decision",
    "job_event",
    "delivery_event",
    "feedback",
    "audit",
    "event",
    "pipeline_version",
    "pipeline_release",
)

__all__ = [
    "APPEND_ONLY",
    "announced",
    "fetched",
    "metadata",
    "outcome",
    "queue",
    "received",
    "registered",
    "said",
    "watched",
]
