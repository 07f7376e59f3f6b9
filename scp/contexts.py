"""What the receiver negotiates: SOP classes and transfer syntaxes, as tables.

Every storage SOP class is accepted, those included that the dictionary does not know yet, and
private ones where the peer may: many senders hold back a whole study for ever over one refused
class. PS3.4 annex B, PS3.5 annex A, PS3.6 annex A.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass

from pydicom.uid import UID
from pynetdicom import AllStoragePresentationContexts
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import Verification

VERIFICATION = str(Verification)


@dataclass(frozen=True, slots=True)
class TransferSyntax:
    """One row: whether instances in it are taken, and whether their pixels can be decoded."""

    uid: str
    name: str
    stored: bool
    decoded: bool


# In the order of preference where a peer offers several for one context: plain ones first, then
# lossless, then lossy, so that no peer is led to compress with a loss what it has without.
TRANSFER_SYNTAXES: tuple[TransferSyntax, ...] = tuple(
    TransferSyntax(f"1.2.840.10008.1.2{suffix}", name, stored, decoded)
    for suffix, name, stored, decoded in (
        (".1", "Explicit VR Little Endian", True, True),
        ("", "Implicit VR Little Endian", True, True),
        (".2", "Explicit VR Big Endian", True, True),
        (".1.98", "Encapsulated Uncompressed Explicit VR Little Endian", True, False),
        (".5", "RLE Lossless", True, True),
        (".4.70", "JPEG Lossless, Process 14, Selection Value 1", True, True),
        (".4.57", "JPEG Lossless, Process 14", True, True),
        (".4.80", "JPEG-LS Lossless", True, True),
        (".4.90", "JPEG 2000 Lossless", True, True),
        (".4.92", "JPEG 2000 Part 2 Multi-component Lossless", True, False),
        (".4.201", "High-Throughput JPEG 2000 Lossless", True, True),
        (".4.202", "High-Throughput JPEG 2000 with RPCL Options Lossless", True, True),
        (".4.110", "JPEG XL Lossless", True, False),
        (".4.111", "JPEG XL JPEG Recompression", True, False),
        (".4.50", "JPEG Baseline, Process 1", True, True),
        (".4.51", "JPEG Extended, Processes 2 and 4", True, True),
        (".4.81", "JPEG-LS Near-Lossless", True, True),
        (".4.91", "JPEG 2000", True, True),
        (".4.93", "JPEG 2000 Part 2 Multi-component", True, False),
        (".4.203", "High-Throughput JPEG 2000", True, True),
        (".4.112", "JPEG XL", True, False),
        (".4.94", "JPIP Referenced", True, False),
        (".4.204", "JPIP HTJ2K Referenced", True, False),
        (".4.100", "MPEG2 Main Profile / Main Level", True, False),
        (".4.100.1", "Fragmentable MPEG2 Main Profile / Main Level", True, False),
        (".4.101", "MPEG2 Main Profile / High Level", True, False),
        (".4.101.1", "Fragmentable MPEG2 Main Profile / High Level", True, False),
        (".4.102", "MPEG-4 AVC/H.264 High Profile / Level 4.1", True, False),
        (".4.102.1", "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.1", True, False),
        (".4.103", "MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1", True, False),
        (".4.103.1", "Fragmentable MPEG-4 AVC/H.264 BD-compatible / Level 4.1", True, False),
        (".4.104", "MPEG-4 AVC/H.264 High Profile / Level 4.2 for 2D Video", True, False),
        (".4.104.1", "Fragmentable MPEG-4 AVC/H.264 / Level 4.2 for 2D Video", True, False),
        (".4.105", "MPEG-4 AVC/H.264 High Profile / Level 4.2 for 3D Video", True, False),
        (".4.105.1", "Fragmentable MPEG-4 AVC/H.264 / Level 4.2 for 3D Video", True, False),
        (".4.106", "MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2", True, False),
        (".4.106.1", "Fragmentable MPEG-4 AVC/H.264 Stereo / Level 4.2", True, False),
        (".4.107", "HEVC/H.265 Main Profile / Level 5.1", True, False),
        (".4.108", "HEVC/H.265 Main 10 Profile / Level 5.1", True, False),
        # A few kilobytes of these can unfold to gigabytes in every later reader.
        (".1.99", "Deflated Explicit VR Little Endian", False, False),
        (".8.1", "Deflated Image Frame Compression", False, False),
        (".4.95", "JPIP Referenced Deflate", False, False),
        (".4.205", "JPIP HTJ2K Referenced Deflate", False, False),
    )
)

STORED: tuple[str, ...] = tuple(row.uid for row in TRANSFER_SYNTAXES if row.stored)
_PLAIN = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2")

_STORAGE_ROOT = "1.2.840.10008.5.1.4.1.1."
_NO_STORAGE = tuple(  # services that live under the root of the storage classes
    _STORAGE_ROOT + suffix
    for suffix in ("200.4", "200.5", "200.6", "201.2", "201.3", "201.4", "201.5", "201.6")
)
_STORAGE_ELSEWHERE = (  # retired
    "1.2.840.10008.5.1.1.29",
    "1.2.840.10008.5.1.1.30",
    "1.2.840.10008.5.1.4.34.1",
)
STORAGE_CLASSES: tuple[str, ...] = tuple(
    sorted(str(context.abstract_syntax) for context in AllStoragePresentationContexts)
)


def is_storage_class(uid: str) -> bool:
    """Return whether the standard has, or may one day have, the UID for a storage SOP class."""
    if uid in STORAGE_CLASSES or uid in _STORAGE_ELSEWHERE:
        return True
    return uid.startswith(_STORAGE_ROOT) and uid not in _NO_STORAGE


def is_private_class(uid: str) -> bool:
    """Return whether the UID is not of the standard's own root."""
    return UID(uid).is_private


def supported(
    abstract_syntaxes: Sequence[str], *, private: bool, services: Container[str] = ()
) -> list[PresentationContext]:
    """Return what we support among the abstract syntaxes that a peer proposes.

    `private` says whether private SOP classes are taken for storage classes; `services` are the
    SOP classes of services besides storage.
    """
    contexts = []
    for uid in dict.fromkeys(abstract_syntaxes):
        if uid == VERIFICATION or uid in services:
            contexts.append(build_context(uid, list(_PLAIN)))
        elif is_storage_class(uid) or (private and is_private_class(uid)):
            contexts.append(build_context(uid, list(STORED)))
    return contexts
