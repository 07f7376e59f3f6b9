"""Two versions of one instance: the same image under two headers, or two images?

Modalities send to us and to the PACS; the PACS sends on with a header that it corrected (IHE
Patient Information Reconciliation). Then the pixels are the same, and so is everything that says
where and what they are; only whose they are may differ. Anything else under the same SOP Instance
UID is another image, and nobody but a person can say which one is right.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset

from appliance.core.errors import BadInstance
from appliance.core.model import ReceivedInstance
from results_store.indexing import Comparison
from results_store.studies import CurrentVersion
from scp.pixels import PixelDigest, pixel_digest
from scp.spool import Spool

FramesDigest = Callable[[Path], str | None]
"""A digest of an image's decoded frames; None where they cannot be decoded."""

# What makes another image of the same pixels: how they are read, and where and what they are.
_MEANING = (
    "SOPClassUID", "SeriesInstanceUID", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel",
    "PhotometricInterpretation", "BitsStored", "PixelRepresentation", "RescaleSlope",
    "RescaleIntercept", "PixelSpacing", "ImagerPixelSpacing", "SliceThickness",
    "SpacingBetweenSlices", "ImagePositionPatient", "ImageOrientationPatient",
    "FrameOfReferenceUID", "PatientPosition", "PatientOrientation", "Laterality",
    "ImageLaterality", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What the store is told, and what people are."""

    comparison: Comparison
    reason: str


class Comparer:
    """Compares new versions with current ones.

    `identity_from` has the AE titles whose headers count, the first before the second and both
    before all others. Among equals the latest counts: corrections come after what they correct.
    """

    def __init__(
        self, spool: Spool, frames_digest: FramesDigest, identity_from: tuple[str, ...] = ()
    ) -> None:
        self._spool = spool
        self._frames_digest = frames_digest
        self._identity_from = identity_from

    def compare(self, new: ReceivedInstance, current: CurrentVersion) -> Compared:
        """Return what the new version is to the current one.

        Raises BadInstance where the new one is no longer here or not whole, OSError where the
        disk does not give one of them now.
        """
        difference, what = "", "not compared: the earlier version is no longer kept"
        if current.is_here:
            difference = self._difference(new.spool_name, current.spool_name)
            what = "the same image under another header"
        wins = not difference and self._wins(new, current)
        if wins:
            what += f"; that from {new.calling_ae_title} counts from now on"
        elif not difference:
            what += f"; that from {current.calling_ae_title} still counts"
        return Compared(
            comparison=Comparison(
                against=current.spool_name, alike=not difference, wins=wins
            ),
            reason=difference or what,
        )

    def _wins(self, new: ReceivedInstance, current: CurrentVersion) -> bool:
        ranks = [self._rank(one.calling_ae_title) for one in (new, current)]
        if ranks[0] != ranks[1]:
            return ranks[0] < ranks[1]
        return new.received_at >= current.received_at

    def _rank(self, ae_title: str) -> int:
        known = ae_title in self._identity_from
        return self._identity_from.index(ae_title) if known else len(self._identity_from)

    def _difference(self, new: str, current: str) -> str:
        """Return in what the images differ; "" where they are the same."""
        (new_syntax, new_pixels), (old_syntax, old_pixels) = map(self._pixels, (new, current))
        differing = _differing(self._spool.path(new), self._spool.path(current))
        if differing:
            return f"another image: {', '.join(differing)} differ"
        if new_pixels is None or old_pixels is None:
            return "" if new_pixels == old_pixels else "another image: one has no pixels"
        same_form = new_syntax == old_syntax or not (
            new_pixels.encapsulated or old_pixels.encapsulated
        )
        if same_form and new_pixels.sha256 == old_pixels.sha256:
            return ""
        if not (new_pixels.encapsulated or old_pixels.encapsulated):
            return "another image: its pixels differ"
        return self._difference_of_frames(new, current)

    def _difference_of_frames(self, new: str, current: str) -> str:
        first, second = (self._frames_digest(self._spool.path(name)) for name in (new, current))
        if first is None or second is None:
            return "another image, as far as anybody can tell: its pixels cannot be decoded"
        return "" if first == second else "another image: its pixels differ"

    def _pixels(self, name: str) -> tuple[str, PixelDigest | None]:
        with self._spool.opened(name) as file:
            syntax = file.received.transfer_syntax_uid
            return syntax, pixel_digest(file.data, file.start, syntax)


def _differing(new: Path, current: Path) -> list[str]:
    """Return the keywords of elements that make another image of the same pixels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a peer's odd values are compared as they are
        one, other = (
            dcmread(path, stop_before_pixels=True, force=True, specific_tags=list(_MEANING))
            for path in (new, current)
        )
        return [keyword for keyword in _MEANING if _value(one, keyword) != _value(other, keyword)]


def _value(dataset: Dataset, keyword: str) -> object:
    """Return an element's value; None where it is absent or empty."""
    try:
        value = dataset.get(keyword)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise BadInstance(f"{keyword} cannot be read ({type(error).__name__})") from error
    return None if value in ("", [], b"") else value
