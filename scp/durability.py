"""What an answer of success promises, by name."""

from collections.abc import Mapping
from enum import StrEnum


class Durability(StrEnum):
    """When an image survives a power cut."""

    INSTANCE = "instance"
    ASSOCIATION = "association"
    NONE = "none"


PROMISES: Mapping[Durability, str] = {
    Durability.INSTANCE: "Each image survives a power cut from the moment at which its C-STORE is "
    "answered with success.",
    Durability.ASSOCIATION: "The images of an association survive a power cut from the moment at "
    "which its release is answered; those of an association that was aborted may be lost.",
    Durability.NONE: "Images that came in the last half minute before a power cut may be lost. "
    "For measurements alone.",
}
