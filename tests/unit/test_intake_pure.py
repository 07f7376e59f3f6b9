"""Small pure parts of intake: announced images, a study's age, the patient's key."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from appliance.core.model import Door, RouteDecision, SelectedInput
from appliance.intake.age import study_age
from appliance.intake.backfill import is_backfill, with_backfill
from appliance.intake.expected import LEAST_COUNTS, announced_images
from appliance.intake.headers import read_header, study_summary
from appliance.intake.options import Backfill
from appliance.intake.patient import patient_key
from tests.reformat import HEAD
from tests.summaries import attributes, series

LONDON = ZoneInfo("Europe/London")
NOW = datetime(2026, 7, 10, 12, tzinfo=UTC)
TWO_DAYS = timedelta(days=2)


def too_old(**having: object) -> bool:
    return study_age([attributes(**having)], TWO_DAYS, LONDON, NOW).too_old


def test_headers_announce_the_images_of_each_acquisition() -> None:
    one = series("1", images=2, AcquisitionNumber=1, ImagesInAcquisition=40)
    assert announced_images(one) == 40
    two = series(
        "1",
        differing=[
            attributes(AcquisitionNumber=number, ImagesInAcquisition=20) for number in (1, 2)
        ],
    )
    assert announced_images(two) == 40


def test_frames_count_against_what_is_announced() -> None:
    assert announced_images(series("1", images=1, frames=40, ImagesInAcquisition=40)) == 40


def test_parts_of_a_multi_frame_image_are_announced_by_their_number() -> None:
    part = attributes(ConcatenationUID="1.2", InConcatenationTotalNumber=3)
    assert announced_images(series("1", differing=[part, part])) == 3


@pytest.mark.parametrize(
    "having",
    [
        {},
        {"ImagesInAcquisition": 1},  # fewer than are here: wrong
        {"ImagesInAcquisition": -4},
        {"ImagesInAcquisition": "many"},
        {"ImagesInAcquisition": 10**9},
    ],
)
def test_headers_that_make_no_sense_announce_nothing(having: dict[str, object]) -> None:
    assert announced_images(series("1", images=2, **having)) is None


def test_headers_that_disagree_announce_nothing() -> None:
    own = [attributes(ImagesInAcquisition=number) for number in (5, 6)]
    assert announced_images(series("1", differing=own)) is None


ORIGINAL = ["ORIGINAL", "PRIMARY", "M", "ND"]
GE = {"Manufacturer": "GE MEDICAL SYSTEMS", "0025,07 GEMS_SERS_01": 44}
PHILIPS = {"Manufacturer": "Philips", "2001,18 Philips Imaging DD 001": 170}
PET = {"Modality": "PT", "NumberOfSlices": 47}


@pytest.mark.parametrize(("having", "least"), [(GE, 44), (PHILIPS, 170), (PET, 47)])
def test_a_vendor_s_own_count_says_how_many_there_are_at_the_least(
    having: dict[str, object], least: int
) -> None:
    def told(images: int = 3, **changes: object) -> int | None:
        return announced_images(
            series("1", images=images, **({"ImageType": ORIGINAL} | having | changes))
        )

    assert told() == least
    assert told(images=least + 1) is None  # several echoes or time points: at least, no more
    assert told(ImageType=["DERIVED", "SECONDARY"]) is None  # inherited from what it is made of
    assert told(ImageType=None) is None
    assert told(Modality="CT", Manufacturer="Other") is None


def test_every_count_of_a_vendor_has_a_source() -> None:
    assert all(one.source for one in LEAST_COUNTS)


def test_the_head_mr_of_the_demo_counts_its_slices() -> None:
    header = read_header(HEAD / "1301_0001.dcm", ())
    (one,) = study_summary("1.2.3", [header]).series
    assert announced_images(one) == 170


def test_a_study_is_too_old_by_its_date_and_time_in_its_zone() -> None:
    assert too_old(StudyDate="20260708", StudyTime="125959.123")  # 11:59:59 UTC in summer
    assert not too_old(StudyDate="20260708", StudyTime="130001")
    assert too_old(StudyDate="20260708", StudyTime="130001", TimezoneOffsetFromUTC="+0200")


def test_a_date_without_a_time_counts_as_the_end_of_its_day() -> None:
    assert not too_old(StudyDate="20260708")
    assert too_old(StudyDate="20260707")
    assert too_old(StudyDate="2026.07.07")


@pytest.mark.parametrize("date", [None, "", "2026", "20261341", "99999999", "tomorrow", "20270101"])
def test_a_date_that_says_nothing_or_lies_ahead_blocks_nothing(date: str | None) -> None:
    assert not too_old(StudyDate=date)


def _matching() -> RouteDecision:
    chosen = SelectedInput(
        pipeline="p", input_name="i", series_instance_uid="1", sop_instance_uids=("2",), why=""
    )
    return RouteDecision(route="r", matched=True, reasons=(), inputs=(chosen,), summary="runs p")


@pytest.mark.parametrize(
    ("backfill", "matched", "said"),
    [
        (Backfill.SKIP, False, "not run: the study is from 2007-04-04, older than 2 d"),
        (Backfill.SHADOW, True, "runs p; nothing is sent: the study is from 2007-04-04"),
        (Backfill.SEND, True, "runs p; the study is from 2007-04-04, older than 2 d"),
    ],
)
def test_an_old_study_is_decided_as_the_route_says(
    backfill: Backfill, matched: bool, said: str
) -> None:
    age = study_age([attributes(StudyDate="20070404")], TWO_DAYS, LONDON, NOW)
    decision = with_backfill(_matching(), age, TWO_DAYS, Door.PUSHED, backfill)
    assert decision.matched is matched
    assert bool(decision.inputs) is matched
    assert decision.summary.startswith(said)
    (reason,) = decision.reasons
    assert (reason.condition, reason.holds) == ("the study is at most 2 d old", False)


def test_a_study_without_a_date_runs_and_its_decision_says_so() -> None:
    age = study_age([{}], TWO_DAYS, LONDON, NOW)
    decision = with_backfill(_matching(), age, TWO_DAYS, Door.PUSHED, Backfill.SKIP)
    assert decision.matched
    assert decision.summary == "runs p; the study's age is unknown (limit 2 d)"


@pytest.mark.parametrize("door", [Door.FETCHED, Door.IMPORTED])
@pytest.mark.parametrize(
    ("backfill", "matched", "said"),
    [
        (Backfill.SKIP, False, "not run: the study is {}, not sent to us"),
        (Backfill.SHADOW, True, "runs p; nothing is sent: the study is {}, not sent to us"),
        (Backfill.SEND, True, "runs p; the study is {}, not sent to us"),
    ],
)
def test_what_nobody_sent_us_is_backfill_however_new_it_is(
    door: Door, backfill: Backfill, matched: bool, said: str
) -> None:
    age = study_age([attributes(StudyDate="20260710")], None, LONDON, NOW)
    decision = with_backfill(_matching(), age, None, door, backfill)
    assert is_backfill(age, door)
    assert decision.matched is matched
    assert decision.summary == said.format(door)
    (reason,) = decision.reasons
    assert (reason.condition, reason.found) == ("the study was sent to us", door.value)


def test_old_and_fetched_are_two_reasons() -> None:
    age = study_age([attributes(StudyDate="20070404")], TWO_DAYS, LONDON, NOW)
    decision = with_backfill(_matching(), age, TWO_DAYS, Door.FETCHED, Backfill.SHADOW)
    assert len(decision.reasons) == 2
    assert "from 2007-04-04, older than 2 d and fetched, not sent" in decision.summary


def test_the_same_patient_has_the_same_key_and_only_with_the_same_secret() -> None:
    one = patient_key(b"k" * 32, "4711", "HOSPITAL")
    assert one == patient_key(b"k" * 32, " 4711 ", "HOSPITAL\0")
    assert one is not None
    assert len(one) == 64
    assert one != patient_key(b"x" * 32, "4711", "HOSPITAL")
    assert one != patient_key(b"k" * 32, "4711", "OTHER")
    assert patient_key(b"k" * 32, "1", "23") != patient_key(b"k" * 32, "31", "2")


@pytest.mark.parametrize("nobody", ["", "  ", "0", "000000", "UNKNOWN", "Anonymous", "n/a", "0-0"])
def test_nobody_gets_no_key(nobody: str) -> None:
    assert patient_key(b"k" * 32, nobody, "HOSPITAL") is None


def test_one_image_without_a_date_or_with_another_makes_no_old_study_new() -> None:
    old, silent, new = (
        attributes(StudyDate="20070404"),
        attributes(Modality="MR"),
        attributes(StudyDate="20260710"),
    )
    assert study_age([old, silent], TWO_DAYS, LONDON, NOW).too_old
    assert study_age([new, old], TWO_DAYS, LONDON, NOW).too_old
    assert not study_age([new, silent], TWO_DAYS, LONDON, NOW).too_old
