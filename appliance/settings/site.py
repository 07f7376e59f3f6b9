"""Who we are, who sends to us, where things are kept, where results go."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from appliance.core.backoff import Backoff
from appliance.core.documents import Document, mistakes_at
from appliance.core.quantities import Duration, Size
from appliance.settings.doors import StowSettings
from appliance.settings.tls import NodeTlsSettings, ReceiverTls
from appliance.settings.values import (
    AbsolutePath,
    Address,
    AeTitle,
    Endpoint,
    Network,
    Text,
    TimeZone,
    UidRoot,
)
from scp.durability import Durability


class Appliance(Document):
    """Who this installation is."""

    ae_title: AeTitle = Field(
        description="Our AE title: what senders call, and under which we call others."
    )
    data_dir: AbsolutePath = Field(
        default=Path("/var/lib/appliance"),
        description="Folder of spool, results, store and secrets. Local disk, not a network share.",
    )
    institution: Text = Field(
        default="", description="Written as Institution Name into the objects that we make."
    )
    time_zone: TimeZone = Field(
        default="UTC", description="Zone in which pages show times. Stored times are UTC."
    )
    uid_root: UidRoot | None = Field(
        default=None,
        description="The site's UID root for new objects. Without it they start with 2.25.",
    )


class Peer(Document):
    """A node that may send to us."""

    ae_title: AeTitle = Field(description="The AE title with which it calls us.")
    address: Network = Field(description="Its IP address, or the network it calls from.")
    accept_private_storage: bool = Field(
        default=True,
        description="Whether its private SOP Classes are kept too. Many routers fail a whole "
        "study for ever over one refused class.",
    )
    certificate: Text | None = Field(
        default=None,
        description="The name (common name, DNS name or address) that its TLS certificate must "
        "have; it then comes over TLS only. Needs `receiver.tls.client_ca`.",
    )
    commitment: bool = Field(
        default=False,
        description="Whether it may ask for storage commitment. Off, because this is no archive: "
        "a modality may delete its images after a commitment, and here they stay for "
        "`retention.committed` only.",
    )
    reports_to: Address | None = Field(
        default=None,
        description="Where it takes the answers (N-EVENT-REPORT). Without it, at the destination "
        "that has its AE title; TLS is spoken to a destination only.",
    )


class Disk(Document):
    """How full the disk may get."""

    warn_below: Size = Field(
        default=50 * 10**9,
        description="Free space below which a warning is logged and images that nothing needs "
        "any more are deleted before their time, the oldest study first. Those of the last hour "
        "stay.",
    )
    refuse_below: Size = Field(
        default=5 * 10**9,
        description="Free space below which instances are refused as out of resources (A700), "
        "so that the sender keeps them and tries again.",
    )

    @model_validator(mode="after")
    def _warns_before_it_refuses(self) -> Self:
        if self.warn_below < self.refuse_below:
            raise mistakes_at((("warn_below",), "is less than refuse_below; write more"))
        return self


class ReceiverSettings(Document):
    """The DICOM listener."""

    listen: Address = Field(
        default=Endpoint(host="0.0.0.0", port=11112),  # noqa: S104 - modalities call from outside
        description="Address and port on which images come in.",
    )
    tls: ReceiverTls | None = Field(
        default=None, description="A second port, with TLS, beside `listen` or instead of it."
    )
    peers: tuple[Peer, ...] = Field(
        default=(), description="Who may send. All others are rejected at association."
    )
    accept_unknown_peers: bool = Field(
        default=False, description="Whether everybody may send. For a closed test network only."
    )
    durability: Durability = Field(
        default=Durability.INSTANCE,
        description="When an image survives a power cut: with instance when it is answered, with "
        "association when the release is answered, with none some time later. All but instance "
        "are unsafe: they are for measurements.",
    )
    processes: int = Field(
        default=2,
        ge=1,
        le=64,
        description="Receiver processes on the one port. One serves an association at full speed; "
        "more serve more associations on more cores.",
    )
    disk: Disk = Field(default_factory=Disk, description="Limits of free disk space.")
    max_associations: int = Field(
        default=64, ge=1, le=1024, description="Open associations at one time, all peers together."
    )
    max_associations_per_peer: int = Field(
        default=16, ge=1, le=1024, description="Open associations at one time from one address."
    )
    max_pdu_length: Size = Field(
        default=256_000,
        ge=4096,
        le=2**24,
        description="Largest PDU that we say we take.",
    )
    max_message: Size = Field(
        default=4 * 10**9,
        ge=10**6,
        description="Largest instance; a longer one is refused and its association aborted.",
    )
    network_timeout: Duration = Field(
        default=timedelta(seconds=60),
        gt=timedelta(0),
        description="Silence after which an association is aborted.",
    )
    stow: StowSettings | None = Field(
        default=None, description="STOW-RS, for whoever sends by HTTP. Off without it."
    )

    @model_validator(mode="after")
    def _certificates_are_asked_for(self) -> Self:
        if self.tls is not None and self.tls.client_ca is not None:
            return self
        advice = "is never asked for; write receiver.tls.client_ca"
        bound = [n for n, peer in enumerate(self.peers) if peer.certificate is not None]
        if bound:
            raise mistakes_at(*((("peers", n, "certificate"), advice) for n in bound))
        return self


class IntakeSettings(Document):
    """What becomes of what was received, before any route looks at it."""

    identity_from: tuple[AeTitle, ...] = Field(
        default=(),
        description="Calling AE titles whose headers count where one image comes from several "
        "nodes with different headers, the most trusted first, for instance the PACS. All others "
        "come after them. Among equals the latest counts: a correction comes after what it "
        "corrects.",
    )


class Retention(Document):
    """How long things are kept. Nothing that a job or a delivery still needs is deleted."""

    images: Duration = Field(
        default=timedelta(days=14),
        gt=timedelta(0),
        description="Age at which received images are deleted, counted from the last one of their "
        "study; earlier below receiver.disk.warn_below. The PACS has the originals.",
    )
    committed: Duration = Field(
        default=timedelta(days=30),
        gt=timedelta(0),
        description="How long an image stays at least after its storage was committed to a peer, "
        "also when the disk is nearly full; then new images are refused instead.",
    )
    results: Literal["forever"] = Field(
        default="forever",
        description="Results, decisions, feedback and audit are never deleted.",
    )


def check_store_url(text: str) -> str:
    """Return `text` if it names a database that we support. Raises ValueError."""
    parts = urlsplit(text)
    if parts.scheme == "sqlite":
        if parts.netloc or not parts.path.startswith("//") or len(parts.path) < 3:
            raise ValueError(
                "write an absolute path after four slashes, like sqlite:////var/lib/appliance/store.db"
            )
        return text
    if parts.scheme not in ("postgresql", "postgresql+psycopg"):
        raise ValueError("write sqlite:////PATH or postgresql://USER@HOST/DATABASE")
    if parts.password:
        raise ValueError("leave the password out; put it into ~/.pgpass of the appliance's user")
    if not parts.path.strip("/"):
        raise ValueError("the database's name is missing; write postgresql://USER@HOST/DATABASE")
    return text


class StoreSettings(Document):
    """The database."""

    url: Annotated[str, AfterValidator(check_store_url)] | None = Field(
        default=None,
        description="SQLite (absolute path, local disk) or PostgreSQL. Without it, store.db in "
        "appliance.data_dir.",
    )


class Destination(Document):
    """A DICOM node that results are sent to, or that is asked what a study has."""

    kind: Literal["dicom"] = Field(default="dicom", description="How it is spoken to.")
    use: Literal["clinical", "research"] = Field(
        default="clinical",
        description="What is done with results there. What is released for research goes to a "
        "clinical one only with a named approval.",
    )
    ae_title: AeTitle = Field(description="Its AE title.")
    address: Address = Field(description="Its host and port.")
    tls: NodeTlsSettings | None = Field(
        default=None, description="TLS to it (BCP 195 profile). Without it, all goes in clear."
    )
    retrieve: Literal["move", "get"] = Field(
        default="move",
        description="How studies are fetched from it: C-MOVE, for which it must know our AE title, "
        "host and port, or C-GET, which few archives offer.",
    )
    check_identity: bool = Field(
        default=True,
        description="Whether it is asked just before sending (C-FIND) if the study still belongs "
        "to the same patient; if not, the result is held.",
    )
    verify: Literal["c-find", "none"] = Field(
        default="c-find",
        description="How it proves that it has the result. With none, its success status is "
        "taken as proof.",
    )
    timeout: Duration = Field(
        default=timedelta(seconds=30), gt=timedelta(0), description="Patience with each answer."
    )
    attempts: int = Field(
        default=20, ge=1, le=1000, description="Attempts before a delivery counts as failed."
    )
    retry_first: Duration = Field(
        default=timedelta(seconds=30),
        gt=timedelta(0),
        description="Delay after the first failed attempt; it doubles each time.",
    )
    retry_longest: Duration = Field(
        default=timedelta(hours=1), gt=timedelta(0), description="Longest delay between attempts."
    )

    @property
    def backoff(self) -> Backoff:
        """Return the delays between attempts."""
        return Backoff(first=self.retry_first, longest=self.retry_longest, attempts=self.attempts)
