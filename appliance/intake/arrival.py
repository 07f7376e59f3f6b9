"""What is here of one series of images."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What came of one series, and what its headers and a peer say of its size."""

    series_instance_uid: str
    label: str  # as people know it
    images: int  # frames
    image_uids: frozenset[str]  # SOP Instance UIDs
    other_uids: frozenset[str]  # of what is no image
    last_received_at: datetime  # image
    announced_images: int | None  # by its own headers; frames
    counted_instances: int | None  # by the peer that was asked

    @property
    def instances(self) -> int:
        """Return how many instances the images are."""
        return len(self.image_uids)
