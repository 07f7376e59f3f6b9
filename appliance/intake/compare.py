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

        Where the current one is gone, the new one takes its place: there is no other any more.
        Raises BadInstance where the new one is no longer here or not whole, OSError where the
        disk does not give one of them now.
        """
        difference = self._difference(new.spool_name, current)
        wins = difference is None or (not difference and self._wins(new, current))
        counts = new.calling_ae_title if wins else current.calling_ae_title
        same = f"the same image under another header; that from {counts} counts"
        if difference is None:
            same = "the earlier version is no longer kept, so they were not compared"
        return Compared(
            comparison=Comparison(against=current.spool_name, alike=not difference, wins=wins),
            reason=difference or same,
        )

    def _wins(self, new: ReceivedInstance, current: CurrentVersion) -> bool:
        ranks = [self._rank(one.calling_ae_title) for one in (new, current)]
        if ranks[0] != ranks[1]:
            return ranks[0] < ranks[1]
        return new.received_at >= current.received_at

    def _rank(self, ae_title: str) -> int:
        known = ae_title in self._identity_from
        return self._identity_from.index(ae_title) if known else len(self._identity_from)

    def _difference(self, new: str, current: CurrentVersion) -> str | None:
        """Return in what the images differ; "" where they are the same, None if one is gone.

        What has no pixels is no image, and no route takes it: its later version is an update.
        """
        pixels = self._pixels(new)
        try:
            old_pixels = self._pixels(current.spool_name)
            paths = [self._spool.path(name) for name in (new, current.spool_name)]
        except BadInstance:
            return None
        differing = _differing(*paths)
        if differing:
            return f"another image: {', '.join(differing)} differ"
        if pixels == old_pixels:
            return ""
        if pixels is None or old_pixels is None:
            return "another image: one has no pixels"
        if pixels.form == old_pixels.form and not pixels.is_encapsulated:
            return "another image: its pixels differ"
        return self._difference_of_frames(*paths)

    def _difference_of_frames(self, *paths: Path) -> str:
        first, second = map(self._frames_digest, paths)
        if first is None or second is None:
            return "another image, as far as anybody can tell: its pixels cannot be decoded"
        return "" if first == second else "another image: its pixels differ"

    def _pixels(self, name: str) -> PixelDigest | None:
        with self._spool.opened(name) as file:
            return pixel_digest(file.data, file.start, file.received.transfer_syntax_uid)


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
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return object()  # what nobody can read is not known to be the same
    return None if value in ("", [], b"") else value
