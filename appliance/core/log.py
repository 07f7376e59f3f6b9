"""Log events as a closed set: one event, one JSON line, only known keys.

No key can hold a patient attribute: there is none for it.
"""

import json
import logging
import sys
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum


class Event(StrEnum):
    """Everything that the appliance says about itself."""

    SERVICE_STARTED = "service.started"
    SERVICE_STOPPED = "service.stopped"
    SERVICE_FAILED = "service.failed"
    SETTINGS_REFUSED = "settings.refused"
    ASSOCIATION_REJECTED = "association.rejected"
    ASSOCIATION_ABORTED = "association.aborted"
    INSTANCE_RECEIVED = "instance.received"
    INSTANCE_DUPLICATE = "instance.duplicate"
    INSTANCE_REFUSED = "instance.refused"
    INSTANCE_QUARANTINED = "instance.quarantined"
    INSTANCE_INDEXED = "instance.indexed"
    INSTANCE_CONFLICT = "instance.conflict"
    INSTANCE_UPDATED = "instance.updated"
    INSTANCE_OWN = "instance.own"
    INSTANCE_DELETED = "instance.deleted"
    STUDY_MIXED = "study.mixed"
    FETCH_STARTED = "fetch.started"
    FETCH_ENDED = "fetch.ended"
    FETCH_FAILED = "fetch.failed"
    FILE_REFUSED = "file.refused"
    NOTICE_RECEIVED = "notice.received"
    NOTICE_REFUSED = "notice.refused"
    NOTICE_QUARANTINED = "notice.quarantined"
    DISK_LOW = "disk.low"
    SOCKET_UNUSED = "socket.unused"
    SPOOL_STUCK = "spool.stuck"
    SPOOL_RECOVERED = "spool.recovered"
    COMMITMENT_REPORTED = "commitment.reported"
    COMMITMENT_RETRYING = "commitment.retrying"
    COMMITMENT_FAILED = "commitment.failed"
    TLS_REFUSED = "tls.refused"
    CERTIFICATE_LOADED = "certificate.loaded"
    CERTIFICATE_REFUSED = "certificate.refused"
    CERTIFICATE_EXPIRES = "certificate.expires"
    ROUTE_CLOSED = "route.closed"
    ROUTE_HELD = "route.held"
    ROUTE_LATE = "route.late"
    JOB_QUEUED = "job.queued"
    JOB_CLAIMED = "job.claimed"
    JOB_DONE = "job.done"
    JOB_RETRYING = "job.retrying"
    JOB_REFUSED = "job.refused"
    JOB_FAILED = "job.failed"
    JOB_LOST_CLAIM = "job.lost-claim"
    CHILD_STARTED = "child.started"
    CHILD_ENDED = "child.ended"
    RESULT_SENT = "result.sent"
    RESULT_DELIVERED = "result.delivered"
    RESULT_HELD = "result.held"
    DELIVERY_RETRYING = "delivery.retrying"
    DELIVERY_FAILED = "delivery.failed"
    PEER_UNREACHABLE = "peer.unreachable"
    FEEDBACK_RECORDED = "feedback.recorded"
    LOGIN_FAILED = "login.failed"
    DRIFT_COMPUTED = "drift.computed"
    DRIFT_ALERTED = "drift.alerted"


KEYS = frozenset(
    {
        "study_instance_uid", "series_instance_uid", "sop_instance_uid", "sop_class_uid",
        "transfer_syntax_uid", "calling_ae_title", "called_ae_title", "peer_address", "status",
        "role", "process", "route", "pipeline", "version", "job", "attempt", "worker", "device",
        "destination", "delivery", "seconds", "size", "count", "reason", "spool_name", "signal",
        "account", "feature", "statistic", "value", "free", "path", "error", "last",
        "transaction_uid", "failed", "door", "isolation",
    }
)  # fmt: skip

_LOGGER = logging.getLogger("appliance")
_ENCODER = json.JSONEncoder(default=str)
# Their messages and warnings quote data sets and command sets of peers; ours are events.
_QUOTING = ("pydicom", "pynetdicom", "highdicom")


def log_event(event: Event, /, *, level: int = logging.INFO, **fields: object) -> None:
    """Write one event. Raises ValueError for a key that is not in KEYS."""
    if not KEYS.issuperset(fields):
        raise ValueError(f"log keys not allowed: {sorted(fields.keys() - KEYS)}")
    if _LOGGER.isEnabledFor(level):
        # Not by `log`, which looks for the line that called; receiving writes one for each image.
        _LOGGER.handle(
            _LOGGER.makeRecord(
                _LOGGER.name, level, "", 0, event.value, (), None, extra={"fields": fields}
            )
        )


class JsonFormatter(logging.Formatter):
    """One JSON object a line; foreign libraries' records keep their text as `message`."""

    def format(self, record: logging.LogRecord) -> str:
        fields: Mapping[str, object] = getattr(record, "fields", {})
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
        }
        if record.name == _LOGGER.name:
            line["event"] = record.getMessage()
        else:
            line |= {"logger": record.name, "message": record.getMessage()}
        line |= fields
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return _ENCODER.encode(line)


def log_to_stderr(*, level: int = logging.INFO) -> None:
    """Send all records as JSON lines to standard error (systemd's journal reads it)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in _QUOTING:
        logging.getLogger(name).setLevel(logging.CRITICAL)
        warnings.filterwarnings("ignore", module=rf"{name}(\.|$)")
    _LOGGER.setLevel(level)
