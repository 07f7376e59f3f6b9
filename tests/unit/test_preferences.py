"""What people write under `prefer:` becomes values, or an error that says what to write."""

import pytest

from appliance.core.conditions import AllOf, parse_condition
from appliance.core.preferences import (
    Extreme,
    ImageCount,
    Meets,
    attributes_in_preference,
    parse_preference,
    parse_preferences,
)


def test_each_written_form_becomes_its_value_in_the_order_written() -> None:
    parsed = parse_preferences(
        [
            {"meets": {"ImageType": {"in": ["ORIGINAL"]}}},
            {"lowest": "SliceThickness"},
            {"highest": "0019,100C SIEMENS MR HEADER"},
            {"most": "images"},
            {"fewest": "images"},
        ]
    )
    original = parse_condition({"ImageType": {"in": ["ORIGINAL"]}})
    assert parsed == (
        Meets(condition=original),
        Extreme(attribute="SliceThickness", highest=False),
        Extreme(attribute="0019,0C SIEMENS MR HEADER", highest=True),
        ImageCount(most=True),
        ImageCount(most=False),
    )


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("SliceThickness", "write one of"),
        ({}, "write one of"),
        ({"lowest": "SliceThickness", "most": "images"}, "write one of"),
        ({"lowest": "SliceThicknes"}, "neither a DICOM keyword"),
        ({"most": "slices"}, "most: images"),
        ({"thinnest": "SliceThickness"}, "'thinnest' is no preference"),
        ({"meets": "MR"}, "write attributes"),
    ],
)
def test_a_wrong_preference_says_what_to_write_instead(written: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_preference(written)


def test_a_preference_that_is_no_list_says_so() -> None:
    with pytest.raises(ValueError, match="wants a list"):
        parse_preferences({"most": "images"})


def test_the_attributes_of_a_preference_are_known() -> None:
    assert attributes_in_preference(parse_preference({"lowest": "EchoTime"})) == {"EchoTime"}
    assert attributes_in_preference(ImageCount(most=True)) == frozenset()
    both = parse_preference({"meets": {"Modality": "MR", "EchoTime": {"at_most": 5}}})
    assert isinstance(both, Meets)
    assert isinstance(both.condition, AllOf)
    assert attributes_in_preference(both) == {"Modality", "EchoTime"}
