"""Patient and study in our objects: as the source has them, unaltered, even if empty.

IHE AIR wants results in the study that they belong to, and identity is compared again before
sending: what is not the same here would be held there.
"""

import re
from datetime import timedelta, timezone, tzinfo

from pydicom import Dataset
from pydicom.charset import convert_encodings
from pydicom.dataelem import DataElement

UTF_8 = "ISO_IR 192"

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
    "ReferencedPatientSequence IssuerOfPatientID TypeOfPatientID "
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
    "ReferencedStudySequence RequestingService RequestingServiceCodeSequence "
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

# It re-dates every DA and TM of an object, those copied from the source too (PS3.3 C.12.1):
# present only where the source has it.
_TIME_ZONE = "TimezoneOffsetFromUTC"

INHERITED = frozenset({*_REQUIRED, *_PATIENT, *_STUDY, _TIME_ZONE})
"""Keywords of the elements that an object of ours has from its source."""


def inherit(dataset: Dataset, header: Dataset) -> None:
    """Replace patient, study and time zone of `dataset` by the source's."""
    for keyword in sorted(INHERITED):
        if keyword in header and not _is_empty_sequence(header[keyword]):
            dataset[keyword] = header[keyword]
        elif keyword in _REQUIRED:
            setattr(dataset, keyword, None)
        elif keyword in dataset:
            delattr(dataset, keyword)


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


def set_character_set(dataset: Dataset, header: Dataset, own_texts: tuple[str, ...]) -> None:
    """Write in the source's character set if it can say `own_texts`, else in UTF-8.

    Staying with the source's keeps names byte for byte, escapes and all.
    """
    written = header.get("SpecificCharacterSet")
    if all(_can_say(text, written) for text in own_texts):
        if written:
            dataset["SpecificCharacterSet"] = header["SpecificCharacterSet"]
        elif "SpecificCharacterSet" in dataset:
            del dataset.SpecificCharacterSet
        return
    dataset.decode()
    dataset.SpecificCharacterSet = UTF_8


def _can_say(text: str, character_set: object) -> bool:
    if text.isascii():
        return True  # every DICOM character set has it (PS3.5 6.1.2)
    if not isinstance(character_set, str) or not character_set:
        return False  # code extensions or ASCII alone
    try:
        text.encode(convert_encodings(character_set)[0])
    except (UnicodeEncodeError, LookupError):
        return False
    return True
