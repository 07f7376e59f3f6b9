"""Rules that can never match are found; rules that may match are left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.routing.contradictions import contradictions
from appliance.routing.evaluate import series_meets
from tests import summaries
from tests.summaries import condition


@pytest.mark.parametrize(
    "written",
    [
        {"SliceThickness": {"at_least": 5, "at_most": 1}},
        {"all": [{"Modality": "MR"}, {"Modality": "CT"}]},
        {"all": [{"Modality": "MR"}, {"Modality": {"in": ["CT", "US"]}}]},
        {"all": [{"Modality": "MR"}, {"not": {"Modality": "MR"}}]},
        {"all": [{"Modality": {"in": ["MR", "CT"]}}, {"Modality": {"matches": "^U"}}]},
        {"ContrastBolusAgent": {"exists": False, "matches": "gad"}},
        {"ImageType": {"exists": False, "equals": "PRIMARY"}},
        {"ImageType": {"exists": True}, "not": {"ImageType": {"exists": True}}},
        {"any": [{"Rows": {"equals": 2, "at_most": 1}}, {"Rows": {"equals": 3, "at_least": 4}}]},
        {"Modality": "MR", "instance": {"Modality": "CT"}},
        {"not": {"any": [{"Modality": {"exists": True}}, {"Modality": {"exists": False}}]}},
        {"PatientAge": {"at_least": 18, "at_most": 17}},
        {"SliceThickness": {"equals": 2, "at_most": 1}},
    ],
)  # fmt: skip
def test_a_rule_that_can_never_match_is_reported(written: object) -> None:
    assert contradictions(condition(written))


@pytest.mark.parametrize(
    "written",
    [
        {},
        {"Modality": "MR", "SliceThickness": {"at_least": 1, "at_most": 1}},
        {"all": [{"ImageType": "ORIGINAL"}, {"ImageType": "PRIMARY"}]},
        {"Modality": {"in": ["MR", "CT"]}, "not": {"Modality": "CT"}},
        {"BodyPartExamined": {"absent_or_in": ["HEAD"], "exists": False}},
        {"instance": {"EchoTime": 1}, "all": [{"instance": {"EchoTime": 2}}]},
        {"SeriesDescription": {"matches": "t1"}, "not": {"SeriesDescription": {"matches": "t2"}}},
        {"any": [{"Modality": "MR"}, {"Modality": "CT"}]},
        {"PixelSpacing": {"at_least": 2, "at_most": 1}},
        {"EchoTime": {"at_least": 1}, "not": {"EchoTime": {"at_least": 1.5}}},
    ],
)
def test_a_rule_that_may_match_is_not_reported(written: object) -> None:
    assert contradictions(condition(written)) == ()


def test_the_report_says_what_excludes_what() -> None:
    (said,) = contradictions(condition({"SliceThickness": {"at_least": 5, "at_most": 1}}))
    assert said == "SliceThickness is at least 5 and SliceThickness is at most 1 exclude each other"


def test_one_dead_alternative_is_reported_though_another_may_hold() -> None:
    (said,) = contradictions(
        condition({"any": [{"Modality": "MR"}, {"EchoTime": {"at_least": 2, "at_most": 1}}]})
    )
    assert said.startswith("the alternative (EchoTime is at least 2 and EchoTime is at most 1) can")


def test_very_many_alternatives_end_without_a_claim() -> None:
    many = {"any": [{"EchoTime": n} for n in range(40)]}
    assert contradictions(condition({"all": [many, many, many, many]})) == ()


_tests = st.sampled_from(
    [
        {"Modality": "MR"},
        {"Modality": "CT"},
        {"Modality": {"in": ["MR", "US"]}},
        {"Modality": {"absent_or_in": ["CT"]}},
        {"Modality": {"exists": False}},
        {"Modality": {"matches": "^M"}},
        {"EchoTime": {"at_least": 2}},
        {"EchoTime": {"at_most": 1}},
        {"EchoTime": 1.5},
    ]
)
_conditions = st.recursive(
    _tests,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"all": parts}),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"any": parts}),
        inner.map(lambda part: {"not": part}),
        inner.map(lambda part: {"instance": part}),
    ),
    max_leaves=6,
)


@given(_conditions, st.sampled_from(["MR", "CT", "US", None]), st.sampled_from([1, 1.5, 2, None]))
def test_what_some_series_meets_is_never_called_impossible(
    written: object, modality: str | None, echo_time: float | None
) -> None:
    rule = condition(written)
    if series_meets(rule, summaries.series("1", Modality=modality, EchoTime=echo_time)):
        said = contradictions(rule)
        assert all(line.startswith("the alternative") for line in said)
