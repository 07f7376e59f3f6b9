"""One SOP Instance UID, several files: the same image under two headers, or two images."""

from collections.abc import Sequence
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, RLELossless

from appliance.core.log import Event
from appliance.core.states import RouteState
from results_store.indexing import IndexOutcome
from results_store.store import Store
from results_store.studies import StudyRow
from tests.builders import encapsulated_pdf, mr_slices
from tests.older import made_older
from tests.store.intake_world import STUDY, IntakeWorld
from tests.store.world import SteppedClock, facts, received

QUIET = timedelta(seconds=30)
PACS = "PACS"


@pytest.fixture
def world(tmp_path: Path, store: Store, clock: SteppedClock) -> IntakeWorld:
    return IntakeWorld(tmp_path / "spool", store, clock)


def head(**attributes: object) -> list[Dataset]:
    options: dict[str, object] = {"slices": 3, "study_instance_uid": STUDY, "gap": 1.0}
    return mr_slices(**(options | attributes))


def coerced(images: Sequence[Dataset], **attributes: object) -> list[Dataset]:
    """Return the same images as another node sends them on."""
    copies = deepcopy(list(images))
    for copy in copies:
        for keyword, value in attributes.items():
            setattr(copy, keyword, value)
    return copies


def resend(world: IntakeWorld, images: Sequence[Dataset], **how: Any) -> tuple[str, ...]:
    """Receive them a moment later than all before."""
    world.clock.advance(timedelta(milliseconds=1))
    return world.receive(images, **how)


def study(world: IntakeWorld) -> StudyRow:
    row = world.store.studies.get(STUDY)
    assert row is not None
    return row


def current(world: IntakeWorld) -> set[str]:
    return {one.spool_name for one in world.store.studies.instances(STUDY)}


def here(world: IntakeWorld, *names: str) -> bool:
    return all((world.spool_root / "images" / name[:2] / f"{name}.dcm").exists() for name in names)


def test_what_an_earlier_version_received_may_come_again_and_is_one_image(
    world: IntakeWorld,
) -> None:
    images = head()
    before = [made_older(world.spool, name).spool_name for name in world.receive(images)]
    world.pass_time(QUIET)
    (job,) = world.jobs()
    after = resend(world, images)
    world.pass_time(QUIET)
    assert world.jobs() == (job,)
    assert study(world).instance_count == 3
    assert current(world) == set(after)
    assert here(world, *before, *after)


def test_a_corrected_header_counts_from_now_on_and_runs_nothing_again(world: IntakeWorld) -> None:
    images = head()
    before = world.receive(images)
    world.pass_time(QUIET)
    (job,) = world.jobs()
    after = resend(world, coerced(images, AccessionNumber="B2"), calling=PACS)
    world.pass_time(QUIET)
    assert world.jobs() == (job,)
    assert current(world) == set(after)
    assert here(world, *before, *after)
    assert study(world).instance_count == 3
    assert study(world).accession_number == "B2"
    assert world.spool.new_entries() == ()
    (told,) = world.stored(Event.INSTANCE_UPDATED)
    assert told["count"] == 3
    assert "another header; that from PACS counts" in str(told["reason"])
    assert world.store.studies.doubts(STUDY).sentence() == ""


def test_a_result_made_under_the_earlier_identity_is_known(world: IntakeWorld) -> None:
    images = head()
    world.receive(images)
    world.pass_time(QUIET)
    (job,) = world.jobs()
    assert world.store.studies.identity_changes(STUDY) == {}
    changed = {"AccessionNumber": "B2", "PatientID": "CORRECTED", "PatientName": "Other^Name"}
    resend(world, coerced(images[:1], **changed), calling=PACS)
    world.step_to_the_end()
    assert world.store.studies.identity_changes(STUDY) == {
        job.job_id: (
            "patient ID",
            "patient's name, birth date or sex",
            "accession number",
        )
    }


def test_a_header_that_only_says_more_is_no_other_identity(world: IntakeWorld) -> None:
    images = head()
    world.receive(images)
    world.pass_time(QUIET)
    more = {"InstitutionName": "Example", "PatientName": "SYNTHETIC^PATIENT^^"}
    more |= {"StudyTime": "101500.000000", "IssuerOfPatientID": ""}
    resend(world, coerced(images, **more), calling=PACS)
    world.step_to_the_end()
    assert world.store.studies.identity_changes(STUDY) == {}


def test_a_run_that_begins_after_the_correction_uses_the_corrected_files(
    world: IntakeWorld,
) -> None:
    images = head()
    world.receive(images)
    world.step()
    after = resend(world, coerced(images, AccessionNumber="B2"), calling=PACS)
    world.pass_time(QUIET)
    (job,) = world.jobs()
    assert {item.spool_name for item in job.inputs} == set(after)
    assert world.store.studies.identity_changes(STUDY) == {}


def test_the_source_that_the_settings_name_counts_even_if_it_came_first(
    world: IntakeWorld,
) -> None:
    world.identity_from = (PACS,)
    world.restart()
    images = head()
    from_pacs = resend(world, coerced(images, AccessionNumber="B2"), calling=PACS)
    world.step_to_the_end()
    from_modality = resend(world, images)
    world.pass_time(QUIET)
    assert current(world) == set(from_pacs)
    assert here(world, *from_modality)
    assert study(world).accession_number == "B2"
    (told,) = world.stored(Event.INSTANCE_UPDATED)
    assert "that from PACS counts" in str(told["reason"])


def test_two_versions_in_one_batch_are_compared_as_well(world: IntakeWorld) -> None:
    images = head()
    world.receive(images)
    after = resend(world, coerced(images, AccessionNumber="B2"), calling=PACS)
    last = resend(world, coerced(images, AccessionNumber="B3"), calling=PACS)
    world.step_to_the_end()
    assert current(world) == set(last)
    assert here(world, *after)
    assert study(world).accession_number == "B3"


@pytest.mark.parametrize("syntax", [RLELossless, ExplicitVRBigEndian])
def test_the_same_pixels_in_another_transfer_syntax_are_the_same_image(
    world: IntakeWorld, syntax: str
) -> None:
    images = head()
    world.receive(images)
    world.pass_time(QUIET)
    copies = coerced(images, AccessionNumber="B2")
    for copy in copies:
        in_syntax(copy, syntax)
    after = resend(world, copies, calling=PACS)
    world.step_to_the_end()
    assert current(world) == set(after)
    assert world.store.studies.doubts(STUDY).sentence() == ""


def in_syntax(dataset: Dataset, syntax: str) -> None:
    if syntax == RLELossless:
        dataset.compress(RLELossless, generate_instance_uid=False)
    else:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()


@pytest.mark.parametrize(
    "change",
    [
        {"PixelData": bytes(512)},
        {"ImagePositionPatient": [0, 0, 99]},
        {"PixelSpacing": [2, 2]},
        {"RescaleSlope": 2},
    ],
)
def test_another_image_under_the_same_uid_holds_the_route_and_both_are_kept(
    world: IntakeWorld, change: dict[str, object]
) -> None:
    images = head()
    before = world.receive(images)
    (other,) = resend(world, coerced(images[:1], **change), calling=PACS)
    world.pass_time(QUIET)
    assert world.state() is RouteState.HELD
    assert "same SOP Instance UID with another image" in world.status().reason
    assert world.jobs() == ()
    assert current(world) == set(before)
    assert here(world, *before, other)
    (told,) = world.stored(Event.INSTANCE_CONFLICT)
    assert "another image" in str(told["reason"])


def test_a_person_may_let_a_doubtful_study_go_on(world: IntakeWorld) -> None:
    images = head()
    before = world.receive(images)
    resend(world, coerced(images[:1], PixelData=bytes(512)), calling=PACS)
    world.pass_time(QUIET)
    world.store.routes.release(STUDY, "brain", "somebody")
    world.pass_time(QUIET)
    (job,) = world.jobs()
    assert {item.spool_name for item in job.inputs} == set(before)
    assert "with another image" in world.decision().summary


def test_pixels_that_nobody_can_decode_are_another_image(world: IntakeWorld) -> None:
    images = head()
    world.receive(images)
    (copy,) = coerced(images[:1])
    copy.compress(RLELossless, generate_instance_uid=False)
    copy.PixelData = copy.PixelData[:-40] + bytes(32) + copy.PixelData[-8:]
    resend(world, [copy], calling=PACS)
    world.pass_time(QUIET)
    assert world.state() is RouteState.HELD


def test_an_object_without_pixels_holds_nothing(world: IntakeWorld) -> None:
    world.receive(head())
    report = encapsulated_pdf(StudyInstanceUID=STUDY)
    world.receive([report])
    resend(world, coerced([report], EncapsulatedDocument=b"%PDF-2.0\n "), calling=PACS)
    world.pass_time(QUIET)
    assert len(world.jobs()) == 1


def test_a_study_of_two_patients_is_held_and_both_are_kept(world: IntakeWorld) -> None:
    images = head()
    names = world.receive(images[:2])
    names += resend(world, coerced(images[2:], PatientID="SOMEBODY-ELSE"))
    world.pass_time(QUIET)
    assert world.state() is RouteState.HELD
    assert "2 different patients" in world.status().reason
    assert world.jobs() == ()
    assert current(world) == set(names)
    (told,) = world.stored(Event.STUDY_MIXED)
    assert "SOMEBODY" not in str(told)


def test_a_patient_without_an_issuer_is_the_same_one(world: IntakeWorld) -> None:
    images = head()
    world.receive([*images[:2], *coerced(images[2:], IssuerOfPatientID="")])
    world.pass_time(QUIET)
    assert len(world.jobs()) == 1


def test_a_study_whose_other_patient_was_corrected_goes_on(world: IntakeWorld) -> None:
    images = head()
    wrong = coerced(images[2:], PatientID="SOMEBODY-ELSE")
    world.receive([*images[:2], *wrong])
    world.pass_time(QUIET)
    assert world.state() is RouteState.HELD
    resend(world, images[2:])
    world.pass_time(QUIET)
    assert len(world.jobs()) == 1


def test_a_correction_that_comes_image_by_image_beside_the_originals_is_no_second_patient(
    world: IntakeWorld,
) -> None:
    images = head()
    copies = coerced(images, PatientID="CORRECTED")
    for new in (images[:2], copies[:1], images[2:], copies[1:]):
        resend(world, new)
        world.step_to_the_end()  # what lies in the spool together came at one tick of its clock
    assert world.stored(Event.STUDY_MIXED) == []
    world.pass_time(QUIET)
    assert world.state() is RouteState.CLOSED
    assert len(world.jobs()) == 1


def test_an_image_that_is_cut_off_is_kept_told_and_never_run(world: IntakeWorld) -> None:
    images = head()
    content = world.encoded(images[2])[:-100]
    world.receive(images[:2])
    (name,) = world.receive(images[2:], cut=100)
    world.pass_time(QUIET)
    kept = (world.spool_root / "quarantine" / f"{name}.dcm").read_bytes()
    assert kept.endswith(content)
    assert world.state() is RouteState.HELD
    assert "cut off" in world.status().reason
    (told,) = world.stored(Event.INSTANCE_QUARANTINED)
    assert told["sop_instance_uid"] == images[2].SOPInstanceUID
    assert study(world).instance_count == 2


def test_an_image_that_was_cut_off_and_comes_whole_is_as_good_as_new(world: IntakeWorld) -> None:
    images = head()
    world.receive(images[:2])
    world.receive(images[2:], cut=100)
    world.pass_time(QUIET)
    assert world.jobs() == ()
    world.receive(images[2:])
    world.pass_time(QUIET)
    (job,) = world.jobs()
    assert len(job.inputs) == 3


def test_of_a_study_all_cut_off_people_can_read_so(world: IntakeWorld) -> None:
    world.receive(head(), cut=100)
    world.pass_time(QUIET)
    assert study(world).instance_count == 0
    assert world.store.studies.doubts(STUDY).sentence().startswith("3 images came cut off")
    assert world.jobs() == ()


def test_a_correction_of_an_image_that_is_no_longer_kept_takes_its_place(
    world: IntakeWorld,
) -> None:
    images = head()
    world.receive(images)
    world.pass_time(QUIET)
    for one in world.store.studies.instances(STUDY):
        world.spool.remove(one.spool_name)
    after = resend(world, coerced(images, AccessionNumber="B2"), calling=PACS)
    world.step_to_the_end()
    assert current(world) == set(after)
    assert len(world.jobs()) == 1


def test_the_same_cut_off_bytes_again_are_told_again_and_counted_once(world: IntakeWorld) -> None:
    images = head(slices=1)
    for _ in range(2):
        world.receive(images, cut=100)
        world.step_to_the_end()
    assert len(world.stored(Event.INSTANCE_QUARANTINED)) == 2
    assert world.store.studies.doubts(STUDY).cut_off == 1


def test_a_file_that_was_thought_cut_off_is_an_image_once_it_is_found_whole(store: Store) -> None:
    """As where a later release understands what an earlier one did not."""
    store.studies.note_cut_off(received())
    assert store.studies.doubts(STUDY).cut_off == 1
    assert store.studies.index(received(), facts()) is IndexOutcome.NEW
    assert store.studies.doubts(STUDY).cut_off == 0
    assert len(store.studies.instances(STUDY)) == 1
