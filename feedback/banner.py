"""Who the patient is: read from the header of an image when a page is drawn, never stored."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.errors import BytesLengthException, InvalidDicomError

from results_store.studies import IndexedInstance

TAGS = [
    "SpecificCharacterSet", "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate",
    "PatientSex", "StudyDate", "AccessionNumber", "StudyDescription",
]  # fmt: skip
REMEMBERED = 200
_SEXES = {"M": "male", "F": "female", "O": "other"}
_UNREADABLE = (
    OSError, InvalidDicomError, BytesLengthException, EOFError, ValueError, TypeError, LookupError,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientBanner:
    """What stands above every page of a study; "" where the image says nothing."""

    name: str
    patient_id: str
    birth_date: str
    sex: str
    study_date: str
    accession_number: str
    description: str


class Banners:
    """Reads banners, and remembers the last ones in memory."""

    def __init__(self, image_path: Callable[[str], Path | None]) -> None:
        self._image_path = image_path
        self._known: OrderedDict[Path, PatientBanner] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, instances: Sequence[IndexedInstance]) -> PatientBanner | None:
        """Return the banner from the first image that is still kept, or None."""
        for instance in instances:
            path = self._image_path(instance.spool_name)
            banner = None if path is None else self._of_file(path)
            if banner is not None:
                return banner
        return None

    def _of_file(self, path: Path) -> PatientBanner | None:
        with self._lock:
            if path in self._known and path.exists():
                self._known.move_to_end(path)
                return self._known[path]
        try:
            banner = read_banner(dcmread(path, stop_before_pixels=True, specific_tags=TAGS))
        except _UNREADABLE:
            return None
        with self._lock:
            self._known[path] = banner
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return banner


def read_banner(dataset: Dataset) -> PatientBanner:
    """Return what the header says of patient and study."""
    return PatientBanner(
        name=_name(dataset.get("PatientName")),
        patient_id=_text(dataset, "PatientID"),
        birth_date=date_words(_text(dataset, "PatientBirthDate")),
        sex=_SEXES.get(_text(dataset, "PatientSex"), _text(dataset, "PatientSex")),
        study_date=date_words(_text(dataset, "StudyDate")),
        accession_number=_text(dataset, "AccessionNumber"),
        description=_text(dataset, "StudyDescription"),
    )


def date_words(text: str | None) -> str:
    """Return a DICOM date as 2024-01-31; anything else as it came."""
    if text and len(text) == 8 and text.isdigit():
        return f"{text[:4]}-{text[4:6]}-{text[6:]}"
    return text or ""


def _text(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip()


def _name(value: object) -> str:
    """Return "FAMILY, Given Middle"; other writings of the name follow in brackets."""
    if value is None or not str(value).strip():
        return ""
    written = [_group(group) for group in str(value).split("=") if group.strip("^ ")]
    return written[0] + "".join(f" ({other})" for other in written[1:]) if written else ""


def _group(text: str) -> str:
    family, *others = (part.strip() for part in text.split("^"))
    rest = " ".join(part for part in others if part)
    return f"{family}, {rest}" if rest else family
