"""Patient and study in our objects: as the source has them, unaltered, even if empty.

IHE AIR wants results in the study that they belong to, and identity is compared again before
sending: what is not the same here would be held there.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import timedelta, timezone, tzinfo

from pydicom import Dataset
from pydicom.charset import convert_encodings
from pydicom.dataelem import DataElement

UTF_8 = "ISO_IR 192"
CharacterSet = str | Sequence[str] | None
"""Value of Specific Character Set; None where the element is absent or empty."""

# Type 2 of Patient and General Study (PS3.3 C.7.1.1, C.7.2.1): present even where the source
# lacks them.
_REQUIRED = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyID",
)

_PATIENT = (  # noqa: SIM905 (fifty lines otherwise)
    "IssuerOfPatientID TypeOfPatientID "
    "IssuerOfPatientIDQualifiersSequence SourcePatientGroupIdentificationSequence "
    "GroupOfPatientsIdentificationSequence PatientBirthTime "
    "PatientBirthDateInAlternativeCalendar PatientDeathDateInAlternativeCalendar "
    "PatientAlternativeCalendar QualityControlSubject StrainDescription StrainNomenclature "
    "StrainStockSequence StrainAdditionalInformation StrainCodeSequence "
    "GeneticModificationsSequence OtherPatientIDs OtherPatientNames OtherPatientIDsSequence "
    "ReferencedPatientPhotoSequence EthnicGroup EthnicGroupCodeSequence "
    "PatientSpeciesDescription PatientSpeciesCodeSequence PatientBreedDescription "
    "PatientBreedCodeSequence BreedRegistrationSequence ResponsiblePerson "
    "ResponsiblePersonRole ResponsibleOrganization PatientComments PatientIdentityRemoved "
    "DeidentificationMethod DeidentificationMethodCodeSequence "
    "ClinicalTrialSponsorName ClinicalTrialProtocolID ClinicalTrialProtocolName "
    "IssuerOfClinicalTrialProtocolID OtherClinicalTrialProtocolIDsSequence ClinicalTrialSiteID "
    "ClinicalTrialSiteName IssuerOfClinicalTrialSiteID ClinicalTrialSubjectID "
    "IssuerOfClinicalTrialSubjectID ClinicalTrialSubjectReadingID "
    "IssuerOfClinicalTrialSubjectReadingID ClinicalTrialProtocolEthicsCommitteeName "
    "ClinicalTrialProtocolEthicsCommitteeApprovalNumber"
).split()

_STUDY = (  # noqa: SIM905
    "StudyInstanceUID IssuerOfAccessionNumberSequence ReferringPhysicianIdentificationSequence "
    "ConsultingPhysicianName ConsultingPhysicianIdentificationSequence StudyDescription "
    "ProcedureCodeSequence PhysiciansOfRecord PhysiciansOfRecordIdentificationSequence "
    "NameOfPhysiciansReadingStudy PhysiciansReadingStudyIdentificationSequence "
    "RequestingService RequestingServiceCodeSequence "
    "ReasonForPerformedProcedureCodeSequence AdmittingDiagnosesDescription "
    "AdmittingDiagnosesCodeSequence PatientAge PatientSize PatientSizeCodeSequence "
    "PatientBodyMassIndex MeasuredAPDimension MeasuredLateralDimension PatientWeight "
    "MedicalAlerts Allergies Occupation SmokingStatus AdditionalPatientHistory PregnancyStatus "
    "LastMenstrualDate PatientSexNeutered ReasonForVisit ReasonForVisitCodeSequence AdmissionID "
    "IssuerOfAdmissionIDSequence ServiceEpisodeID ServiceEpisodeDescription "
    "IssuerOfServiceEpisodeIDSequence PatientState ClinicalTrialTimePointID "
    "ClinicalTrialTimePointDescription LongitudinalTemporalOffsetFromEvent "
    "LongitudinalTemporalEventType ClinicalTrialTimePointTypeCodeSequence "
    "IssuerOfClinicalTrialTimePointID ConsentForClinicalTrialUseSequence"
).split()

_CHARACTER_SET = "SpecificCharacterSet"
# It re-dates every DA and TM of an object, those copied from the source too (PS3.3 C.12.1):
# present only where the source has it.
_TIME_ZONE = "TimezoneOffsetFromUTC"

INHERITED = frozenset({*_REQUIRED, *_PATIENT, *_STUDY, _TIME_ZONE})
"""Keywords of the elements that an object of ours has from its source.

Referenced Study and Referenced Patient Sequence are not among them: they name objects of retired
services, and often without saying which.
"""


def inherit(dataset: Dataset, header: Dataset, character_set: CharacterSet) -> None:
    """Replace patient, study, time zone and character set of `dataset` by the source's.

    `character_set` is from `choose_character_set`. Where it is the source's own, names are
    written byte for byte as they came, escapes and all.
    """
    for keyword in sorted(INHERITED):
        if keyword in header and not _is_empty_sequence(header[keyword]):
            dataset[keyword] = header[keyword]
        elif keyword in _REQUIRED:
            setattr(dataset, keyword, None)
        elif keyword in dataset:
            delattr(dataset, keyword)
    if character_set:
        dataset.SpecificCharacterSet = character_set
    elif _CHARACTER_SET in dataset:
        delattr(dataset, _CHARACTER_SET)


def _is_empty_sequence(element: DataElement) -> bool:
    """Return whether it is a sequence without items; none of those inherited may be empty."""
    return element.VR == "SQ" and not element.value


def source_time_zone(header: Dataset) -> tzinfo | None:
    """Return the offset that the source's dates and times are in; None where it says none."""
    match = re.fullmatch(r"([+-])(\d{2})(\d{2})", str(header.get(_TIME_ZONE) or "").strip())
    if match is None:
        return None
    sign, hours, minutes = match.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return timezone(-offset if sign == "-" else offset)


def choose_character_set(header: Dataset, own_texts: Iterable[str]) -> CharacterSet:
    """Return the source's Specific Character Set if it can say `own_texts`, else UTF-8."""
    written: CharacterSet = header.get(_CHARACTER_SET)
    return written if all(_can_say(text, written) for text in own_texts) else UTF_8


def _can_say(text: str, character_set: CharacterSet) -> bool:
    if text.isascii():
        return True  # every DICOM character set has it (PS3.5 6.1.2)
    if not isinstance(character_set, str) or not character_set:
        return False  # code extensions or ASCII alone
    try:
        text.encode(convert_encodings(character_set)[0])
    except (UnicodeEncodeError, LookupError):
        return False
    return True
