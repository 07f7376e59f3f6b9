"""The time that stands still, and a busy appliance as the status page is told of it."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from appliance.core.clock import Clock
from feedback.system import DiskLine, Lookout, PeerLine, PipelineLine, RoleLine, SystemStatus
from feedback.whereabouts import InSpool, Rules

START = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


class SteppedClock:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self._now = START

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return (self._now - START).total_seconds()

    def advance(self, **by: float) -> None:
        self._now += timedelta(**by)


PIPELINES = (
    PipelineLine(
        name="bright-volume",
        version="1.0.0",
        digest="d" * 64,
        words="released as second-reader by Dr. Test on 2026-11-01",
        leaves=True,
    ),
    PipelineLine(
        name="lung-ct",
        version="",
        digest="",
        words="broken: its version is missing",
        leaves=False,
    ),
)


def lookout(in_spool: Mapping[str, InSpool], clock: Clock) -> Lookout:
    return Lookout(
        rules=Rules(quiet={"brain volumes": timedelta(seconds=30)}, proof={"pacs": "c-find"}),
        in_spool=lambda study: in_spool.get(study, InSpool()),
        system=lambda: system_status(clock.now()),
        pipelines=lambda: PIPELINES,
    )


def system_status(now: datetime) -> SystemStatus:
    return SystemStatus(
        now=now,
        version="0.1.0",
        roles=tuple(
            RoleLine(role=role, runs=role != "deliver")
            for role in ("receive", "orchestrate", "work", "deliver", "web", "schedule")
        ),
        disk=DiskLine(
            free=40 * 10**9,
            size=500 * 10**9,
            warn_below=50 * 10**9,
            refuse_below=5 * 10**9,
            words="low: images that nothing needs are deleted before their time",
        ),
        not_yet_indexed=12,
        quarantined=3,
        notices=1,
        open_studies=2,
        routes={"closed": 812, "held": 1, "open": 2},
        jobs={"done": 790, "failed": 1, "running": 1},
        deliveries={"delivered": 1580, "held": 1},
        paused=("destination vna",),
        pipelines=PIPELINES,
        stranded=("2 deliveries wait for destination 'old', which the settings do not have",),
        last_problems=("job 17: the series has gaps", "delivery 40: identity-changed"),
        peers=(
            _peer("CT01", "10.20.0.11", now, associations=120, stored=61_400, size=32 * 10**9),
            _peer(
                "MR01",
                "10.20.0.12",
                now - timedelta(hours=2),
                associations=40,
                stored=9_000,
                duplicates=30,
                size=10**9,
                refused={"the data set ends inside an element": 2},
            ),
            _peer("NOBODY", "10.99.0.1", now, rejected={"calling AE title is not known": 7}),
        ),
    )


def _peer(title: str, address: str, now: datetime, **changes: object) -> PeerLine:
    values: dict[str, object] = {
        "associations": 0,
        "rejected": {},
        "stored": 0,
        "duplicates": 0,
        "refused": {},
        "others": {},
        "size": 0,
    }
    return PeerLine(
        calling_ae_title=title,
        peer_address=address,
        last_seen=now,
        **(values | changes),  # type: ignore[arg-type]
    )
