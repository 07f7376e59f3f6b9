"""One DICOM file that a pipeline made: read, and checked against the study that it is about.

Whoever made it is not trusted: it may be damaged, of another patient, or of a kind that nobody
asked for. What does not belong is refused with everything else of the run. Messages name the
attribute, never its value.
"""

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from types import MappingProxyType

from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset, read_preamble
from pydicom.pixels.utils import get_expected_length
from pydicom.tag import BaseTag, Tag
from pydicom.uid import (
    UID,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    KeyObjectSelectionDocumentStorage,
    ParametricMapStorage,
    SegmentationStorage,
)

from appliance.core.errors import PermanentPipelineError
from appliance.core.model import ObjectKind
from appliance.core.uids import is_usable_uid

# Of whom and of which study it is. What the object says of these, the source says too; what it
# leaves empty is filled in.
_IDENTITY = (
    "StudyInstanceUID",
    "PatientID",
    "IssuerOfPatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyDate",
    "StudyID",
)
_NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_KIND_OF_CLASS: Mapping[str, ObjectKind] = MappingProxyType(
    {
        SegmentationStorage: ObjectKind.SEG,
        f"{_STORAGE}66.7": ObjectKind.SEG,  # Label Map Segmentation, younger than pydicom 3.0
        ParametricMapStorage: ObjectKind.MAP,
        EncapsulatedPDFStorage: ObjectKind.PDF,
        KeyObjectSelectionDocumentStorage: ObjectKind.OTHER,  # images and a word, no report
    }
)
_KIND_OF_FAMILY: Mapping[str, ObjectKind] = MappingProxyType(
    {"7": ObjectKind.SC, "11": ObjectKind.PR, "88": ObjectKind.SR, "481": ObjectKind.RT}
)
_CONTENT_OF: Mapping[ObjectKind, tuple[str, ...]] = MappingProxyType(
    {
        ObjectKind.SEG: ("PixelData",),
        ObjectKind.SC: ("PixelData",),
        ObjectKind.IMAGE: ("PixelData",),
        ObjectKind.MAP: ("PixelData", "FloatPixelData", "DoubleFloatPixelData"),
        ObjectKind.SR: ("ContentSequence",),
        ObjectKind.PDF: ("EncapsulatedDocument",),
    }
)

_PIXELS = tuple(map(Tag, ("FloatPixelData", "DoubleFloatPixelData", "PixelData")))
MAX_HEADS = 32 << 20  # bytes
_NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian)
_UNDEFINED = 0xFFFF_FFFF
_UNREADABLE = (
    AttributeError,
    BytesLengthException,
    EOFError,
    InvalidDicomError,
    KeyError,
    LookupError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Made:
    """One object as its maker wrote it. `name` is of its file, for messages."""

    name: str
    kind: ObjectKind
    dataset: Dataset  # every value decoded
    transfer_syntax_uid: UID  # explicit VR little endian, or that of its compressed pixels

    @property
    def sop_instance_uid(self) -> str:
        """Return the maker's own UID of it."""
        return str(self.dataset.SOPInstanceUID)

    @property
    def series_instance_uid(self) -> str:
        """Return the maker's own UID of its series."""
        return str(self.dataset.SeriesInstanceUID)


def kind_of(sop_class_uid: str) -> ObjectKind | None:
    """Return the kind of object that a SOP class is; None for what is no composite object."""
    if sop_class_uid in _KIND_OF_CLASS:
        return _KIND_OF_CLASS[sop_class_uid]
    uid = UID(sop_class_uid)
    if not sop_class_uid.startswith(_STORAGE) or uid.type != "SOP Class" or uid.is_retired:
        return None
    family = sop_class_uid.removeprefix(_STORAGE).partition(".")[0]
    usual = ObjectKind.IMAGE if "Image Storage" in uid.name else ObjectKind.OTHER
    return _KIND_OF_FAMILY.get(family, usual)


class Heads(BytesIO):
    """Reads files one after the other, up to their pixels, and counts what it reads.

    A data set takes a hundred times its bytes in memory where its elements are small: what all
    files of a run have beside their pixels is bounded, before any of them is read in full.
    """

    def __init__(self, limit: int = MAX_HEADS) -> None:
        super().__init__()
        self._left = limit

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes. Raises ValueError where all together are too many."""
        piece = super().read(size)
        self._left -= len(piece)
        if self._left < 0:
            raise ValueError("all objects together have too much beside their pixels")
        return piece

    def look_at(self, data: bytes) -> UID:
        """Return the file's transfer syntax. Raises ValueError for one that is not taken."""
        self.seek(0)
        self.truncate()
        self.write(data)
        self.seek(0)
        read_preamble(self, force=False)
        meta = self._read_until(lambda tag: tag.group != 2, implicit=False)
        syntax = UID(meta.TransferSyntaxUID)
        if syntax not in _NATIVE and not syntax.is_encapsulated:
            # Deflated: a small file can grow without end. Big endian: retired (PS3.5 2016b).
            raise ValueError(f"its transfer syntax is {syntax.name}, which is not taken")
        self._read_until(lambda tag: tag in _PIXELS, implicit=syntax.is_implicit_VR)
        return syntax

    def _read_until(self, ends: Callable[[BaseTag], bool], *, implicit: bool) -> Dataset:
        return read_dataset(
            self,
            is_implicit_VR=implicit,
            is_little_endian=True,
            stop_when=lambda tag, _vr, _size: ends(tag),
        )


def read_made(
    name: str, data: bytes, header: Dataset, allowed: frozenset[ObjectKind], heads: Heads
) -> Made:
    """Return the object in `data`, which belongs to the study of `header`.

    `heads` is one for all objects of a run. Raises PermanentPipelineError where the object is
    damaged, not one of the kinds `allowed`, of another patient or study, or says that a person
    has verified it.
    """
    try:
        made = _read(name, data, heads.look_at(data))
        problems = list(_problems(made, header, allowed))
    except _UNREADABLE as error:
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise PermanentPipelineError(f"{name} cannot be read as DICOM: {what}") from None
    if problems:
        raise PermanentPipelineError(f"{name} is not taken: {'; '.join(problems)}")
    return made


def _read(name: str, data: bytes, syntax: UID) -> Made:
    dataset = dcmread(BytesIO(data))
    for raw in dataset.values():
        if isinstance(raw, RawDataElement) and _is_cut_off(raw):
            raise ValueError(f"it ends in the middle of {raw.tag}")
    dataset.decode()
    for _ in dataset.iterall():
        pass  # each value is decoded as its VR wants it, or raises
    kind = kind_of(str(dataset.SOPClassUID))
    if kind is None:
        raise ValueError(f"its SOP class is {dataset.SOPClassUID}, which is no object to store")
    return Made(
        name=name,
        kind=kind,
        dataset=dataset,
        transfer_syntax_uid=syntax if syntax.is_encapsulated else ExplicitVRLittleEndian,
    )


def _is_cut_off(raw: RawDataElement) -> bool:
    return raw.length not in (_UNDEFINED, len(raw.value or b""))


def _problems(made: Made, header: Dataset, allowed: frozenset[ObjectKind]) -> Iterator[str]:
    dataset = made.dataset
    if made.kind not in allowed:
        taken = ", ".join(sorted(allowed)) or "none"
        yield f"it is of kind {made.kind} ({UID(dataset.SOPClassUID).name}); taken are: {taken}"
    for keyword in _NEEDED:
        if not is_usable_uid(str(dataset.get(keyword) or "")):
            yield f"its {keyword} is missing or no UID"
    different = [word for word in _IDENTITY if not _same(dataset, header, word)]
    if different:
        yield f"{', '.join(different)} differ{'s' * (len(different) == 1)} from the images'"
    if not _refers_to_this_study(dataset, str(header.StudyInstanceUID)):
        yield "it refers to another study"
    if dataset.get("VerificationFlag") == "VERIFIED" or dataset.get("ApprovalStatus") == "APPROVED":
        yield "it says that a person has verified it"
    yield from _incomplete(made)


def _same(dataset: Dataset, header: Dataset, keyword: str) -> bool:
    said = _plain(dataset, keyword)
    return not said or said == _plain(header, keyword)


def _plain(dataset: Dataset, keyword: str) -> str:
    """Return the value without what does not count: padding, empty parts of a name."""
    text = str(dataset.get(keyword) or "").strip()
    if keyword != "PatientName":
        return text
    groups = [re.sub(r"[\^ ]+$", "", group) for group in text.split("=")]
    return "=".join(groups).rstrip("=")


def _refers_to_this_study(dataset: Dataset, study_uid: str) -> bool:
    return all(
        str(element.value or study_uid) == study_uid
        for element in dataset.iterall()
        if element.keyword == "StudyInstanceUID"
    )


def _incomplete(made: Made) -> Iterator[str]:
    """Yield what an object of this kind has, and this one lacks."""
    keywords = _CONTENT_OF.get(made.kind, ())
    found = next((word for word in keywords if made.dataset.get(word)), None)
    if keywords and found is None:
        yield f"it has no {keywords[0]}"
    if found == "PixelData" and made.transfer_syntax_uid == ExplicitVRLittleEndian:
        expected, there = get_expected_length(made.dataset), len(made.dataset.PixelData)
        if there not in (expected, expected + expected % 2):
            yield f"it has {there} bytes of pixels, not {expected}"
