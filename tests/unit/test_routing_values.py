"""Every operator on every kind of value."""

import pytest

from appliance.core.conditions import Test as Comparison
from appliance.routing.evaluate import series_meets
from appliance.routing.values import holds
from tests import summaries
from tests.summaries import attributes, condition


def met(written: object, **having: object) -> bool:
    return series_meets(condition(written), summaries.series("1", **having))


@pytest.mark.parametrize(
    ("written", "values", "expected"),
    [
        ("MR", "MR", True),
        ("MR", " MR ", True),
        ("MR", "MR\0", True),
        (" MR", "MR", True),
        ("MR", "mr", False),
        ("MR", "CT", False),
        ("MR", None, False),
        ({"in": ["MR", "CT"]}, "CT", True),
        ({"in": ["MR", "CT"]}, "US", False),
        ({"in": ["MR", "CT"]}, None, False),
        ({"absent_or_in": ["MR"]}, "MR", True),
        ({"absent_or_in": ["MR"]}, "CT", False),
        ({"absent_or_in": ["MR"]}, None, True),
        ({"absent_or_in": ["MR"]}, "  ", True),
        ({"exists": True}, "MR", True),
        ({"exists": True}, None, False),
        ({"exists": True}, " ", False),
        ({"exists": False}, "MR", False),
        ({"exists": False}, None, True),
        ({"matches": "^M"}, "MR", True),
        ({"matches": "^R"}, "MR", False),
        ({"matches": ".*"}, None, False),
    ],
)
def test_a_text_meets_its_test(written: object, values: object, expected: bool) -> None:
    assert met({"Modality": written}, Modality=values) is expected


@pytest.mark.parametrize(
    ("written", "values", "expected"),
    [
        ({"at_most": 1.5}, 1.5, True),
        ({"at_most": 1.5}, 1.6, False),
        ({"at_least": 1.5}, 1.5, True),
        ({"at_least": 1.5}, 1.4, False),
        ({"at_least": 1.5}, "1.6 ", True),
        ({"at_least": 1.5}, "thick", False),
        ({"at_least": 1.5}, "nan", False),
        ({"at_most": 1.5}, "-inf", False),
        ({"at_most": 1.5}, None, False),
        (1.5, 1.5, True),
        ("1.50", 1.5, True),
        (1.5, "1.5", True),
        (1.5, 2, False),
        ({"in": [1, 2]}, 2, True),
        ({"matches": r"^1\.5$"}, 1.5, True),
    ],
)
def test_a_number_meets_its_test(written: object, values: object, expected: bool) -> None:
    assert met({"SliceThickness": written}, SliceThickness=values) is expected


@pytest.mark.parametrize("operator", ["at_least", "at_most"])
def test_nothing_meets_a_bound_where_the_element_is_absent(operator: str) -> None:
    assert not met({"SliceThickness": {operator: 1}})
    assert not met({"SliceThickness": {operator: 1}}, SliceThickness=None)


def test_an_age_counts_in_years() -> None:
    adult = {"PatientAge": {"at_least": 18}}
    assert met(adult, PatientAge="018Y")
    assert not met(adult, PatientAge="017Y")
    assert not met(adult, PatientAge="100M")
    assert met({"PatientAge": {"at_most": 1}}, PatientAge="030D")
    assert met({"PatientAge": {"at_most": 1}}, PatientAge="040W")


def test_of_several_values_one_that_meets_the_test_is_enough() -> None:
    having = {"ImageType": ["ORIGINAL", "PRIMARY", "M"]}
    assert met({"ImageType": "PRIMARY"}, **having)
    assert met({"ImageType": {"in": ["DERIVED", "M"]}}, **having)
    assert met({"not": {"ImageType": "DERIVED"}}, **having)
    assert not met({"ImageType": {"matches": "DERIVED"}}, **having)
    assert met({"PixelSpacing": {"at_most": 1}}, PixelSpacing=[0.9, 1.1])


def test_a_private_element_is_found_by_its_creator_whatever_block_it_took() -> None:
    wanted = {"0019,1012 SIEMENS MR HEADER": {"at_least": 2}}
    assert met(wanted, **{"0019,12 SIEMENS MR HEADER": 3})
    assert not met(wanted, **{"0019,12 SOMEBODY ELSE": 3})


def test_all_any_and_not_join_conditions() -> None:
    having = {"Manufacturer": "Philips", "EchoTime": 3}
    assert met({"any": [{"Manufacturer": "GE"}, {"EchoTime": 3}]}, **having)
    assert not met({"any": [{"Manufacturer": "GE"}, {"EchoTime": 4}]}, **having)
    assert met({"all": [{"Manufacturer": "Philips"}, {"EchoTime": 3}]}, **having)
    assert not met({"all": [{"Manufacturer": "Philips"}, {"EchoTime": 4}]}, **having)
    assert met({"not": {"Manufacturer": "GE", "EchoTime": 3}}, **having)
    assert met({}, **having)


def test_a_condition_has_to_hold_for_every_image_of_the_series() -> None:
    mixed = summaries.series(
        "1", differing=[attributes(), attributes(ContrastBolusAgent="gadolinium")]
    )
    assert not series_meets(condition({"ContrastBolusAgent": {"exists": False}}), mixed)
    assert not series_meets(condition({"ContrastBolusAgent": {"exists": True}}), mixed)
    assert not series_meets(condition({"not": {"ContrastBolusAgent": "gadolinium"}}), mixed)


def test_inside_instance_one_image_is_enough_but_it_has_to_meet_everything() -> None:
    mixed = summaries.series(
        "1", differing=[attributes(EchoTime=1, FlipAngle=9), attributes(EchoTime=2, FlipAngle=8)]
    )
    assert series_meets(condition({"instance": {"EchoTime": 2}}), mixed)
    assert series_meets(condition({"instance": {"EchoTime": 2, "FlipAngle": 8}}), mixed)
    assert not series_meets(condition({"instance": {"EchoTime": 2, "FlipAngle": 9}}), mixed)
    assert not series_meets(condition({"not": {"instance": {"EchoTime": 2}}}), mixed)


def test_a_received_text_is_bounded_before_a_pattern_sees_it() -> None:
    wanted = condition({"SeriesDescription": {"matches": "end$"}})
    assert isinstance(wanted, Comparison)
    assert not holds(wanted, ("x" * 2000 + "end",))
