"""What a site may say of fetching and importing."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from appliance.core.backoff import Backoff
from results_store.fetches import Way

OF_A_SERIES = Backoff(first=timedelta(seconds=5), longest=timedelta(minutes=1), attempts=3)
OF_A_STUDY = Backoff(first=timedelta(minutes=1), longest=timedelta(hours=1), attempts=20)


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchOptions:
    """How studies are fetched from one node."""

    node: str  # the site's word for it
    way: Way
    node_ae_title: str
    node_host: str
    ae_title: str  # ours; where a C-MOVE sends
    transfer_syntaxes: tuple[str, ...]  # offered for a C-GET, the dearest first
    usual_sop_classes: tuple[str, ...]  # offered where the node does not say what it has
    retry: Backoff = OF_A_SERIES
    pause: timedelta = timedelta(0)  # between two series
    images_per_second: float | None = None  # on average, of what is asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class PollRule:
    """Which studies of a node are fetched without being asked for."""

    name: str
    node: str
    days: int  # that a study may be old; 1 is today
    at_most: int  # studies in one round
    modality: str = ""
    study_description: str = ""  # may have * and ?
    retry: Backoff = OF_A_STUDY  # also of a node that does not answer


class After(StrEnum):
    """What becomes of an imported file."""

    KEEP = "keep"
    DELETE = "delete"  # once it is durable in the spool


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """A folder that is watched."""

    folder: Path
    settle: timedelta  # that a file must not have changed
    after: After
    refusals: Path  # where is written down which files were not taken, and why
    ae_title: str
