"""Decisions: which series was chosen and why, and why not."""

import pytest

from appliance.core.model import RouteDecision, StudySummary
from appliance.routing.decide import assess, decide
from tests.summaries import (
    BASIC_TEXT_SR,
    SEGMENTATION,
    attributes,
    one_pipeline,
    route,
    series,
    spec,
    study,
)

HEAD = {"MRAcquisitionType": "3D", "SeriesDescription": "t1 mprage", "SliceThickness": 1}


def thin_t1(one: StudySummary) -> RouteDecision:
    when = {"Modality": "MR", "SliceThickness": {"at_most": 1.5}}
    return decide(route(when), one, one_pipeline(spec(select={"MRAcquisitionType": "3D"})))


def test_a_series_that_meets_the_route_and_the_input_is_chosen_with_all_its_images() -> None:
    decision = thin_t1(study(series("1.5", SliceThickness=5), series("1.7", **HEAD)))
    assert decision.matched
    (chosen,) = decision.inputs
    assert (chosen.pipeline, chosen.input_name) == ("brain-mr", "t1")
    assert chosen.series_instance_uid == "1.7"
    assert chosen.sop_instance_uids == ("1.7.1", "1.7.2")
    assert chosen.why == "the only series that fits"
    assert decision.summary.startswith("runs brain-mr on series 1 't1 mprage' as t1")


def test_each_candidate_has_a_reason_for_each_condition_also_when_nothing_matched() -> None:
    decision = thin_t1(study(series("1.5", SliceThickness=5, MRAcquisitionType="3D")))
    assert not decision.matched
    assert decision.inputs == ()
    assert [(r.condition, r.found, r.holds, r.series_instance_uid) for r in decision.reasons] == [
        ("Modality is MR", "MR", True, "1.5"),
        ("SliceThickness is at most 1.5", "5.0", False, "1.5"),
        ("brain-mr/t1: MRAcquisitionType is 3D", "3D", True, "1.5"),
    ]


def test_the_summary_names_the_closest_series_and_what_it_lacks() -> None:
    decision = thin_t1(
        study(
            series("1", Modality="CT", SeriesNumber=2, SeriesDescription="scout"),
            series("2", Modality="CT", SeriesNumber=3, SeriesDescription="5mm", SliceThickness=1),
        )
    )
    assert decision.summary == (
        "not run: no series meets all conditions; closest was series 3 '5mm': "
        "Modality is CT, not MR; MRAcquisitionType is absent, not 3D"
    )


def test_what_route_and_input_both_want_is_told_once() -> None:
    wants = one_pipeline(spec(select={"Modality": "MR"}))
    decision = decide(route({"Modality": "MR"}), study(series("1", Modality="CT")), wants)
    assert decision.summary.endswith("closest was series 1: Modality is CT, not MR")
    assert len(decision.reasons) == 2


@pytest.mark.parametrize(
    ("written", "having", "said"),
    [
        ({"in": ["A", "B"]}, "C", "BodyPartExamined is C, not one of A, B"),
        ({"absent_or_in": ["A"]}, "C", "BodyPartExamined is C, neither absent nor one of A"),
        ({"matches": "^A"}, "C", "BodyPartExamined is C, which does not match ^A"),
        ({"exists": False}, "C", "BodyPartExamined is C, but must be absent"),
        ({"exists": True}, None, "BodyPartExamined is empty, but has to be there"),
        ({"at_least": 2}, 1, "BodyPartExamined is 1.0, not at least 2"),
        ("BRAIN", "Brain", "is Brain (only upper and lower case differ), not BRAIN"),
        ({"matches": "T1"}, "t1", "(only upper and lower case differ), which does not match T1"),
    ],
)
def test_a_shortfall_is_told_in_plain_words(written: object, having: object, said: str) -> None:
    one = study(series("1", BodyPartExamined=having))
    assert said in decide(route({"BodyPartExamined": written}), one, one_pipeline()).summary


def test_joined_conditions_are_one_reason_with_everything_that_was_found() -> None:
    when = {"any": [{"Manufacturer": "GE"}, {"EchoTime": {"at_most": 5}}], "not": {"Rows": 4}}
    decision = decide(route(when), study(series("1", Manufacturer="X")), one_pipeline())
    assert [(r.condition, r.found, r.holds) for r in decision.reasons] == [
        ("Manufacturer is GE or EchoTime is at most 5", "Manufacturer X, EchoTime absent", False),
        ("not Rows is 4", "4", False),
    ]


def test_values_that_differ_between_images_are_told_as_such() -> None:
    mixed = series("1", differing=[attributes(EchoTime=t) for t in (1, 2, 3, 4, 5)])
    (reason,) = decide(route({"EchoTime": 1}), study(mixed), one_pipeline()).reasons
    assert reason.found == "differs between images: 1.0; 2.0; 3.0 and 2 more"
    assert not reason.holds


def test_nothing_of_the_patient_is_ever_told() -> None:
    secret = {"PatientID": "SECRET1", "PatientName": "SECRET2", "PatientAge": "099Y"}
    secret |= {"OperatorsName": "SECRET3", "AdmissionID": "SECRET4"}
    when = {
        "PatientID": "SECRET1",
        "PatientName": {"matches": "SECRET3"},
        "PatientAge": {"at_most": 98},
        "any": [{"OperatorsName": "secret3"}, {"AdmissionID": "SECRET5"}],
    }
    decision = decide(route(when), study(series("1", **secret)), one_pipeline())
    told = repr(decision)
    assert "SECRET" not in told
    assert "secret" not in told
    assert "99" not in told
    assert [reason.found for reason in decision.reasons[:3]] == ["matches", "differs", "differs"]


def test_what_a_peer_sent_is_shown_bounded_and_printable() -> None:
    one = study(series("1", StudyDescription="a\x1b[31m\n" + "b" * 500))
    (reason,) = decide(route({"StudyDescription": "c"}), one, one_pipeline()).reasons
    assert reason.found.startswith("a?[31m?bbb")
    assert len(reason.found) == 64


def test_series_without_images_are_no_candidates_and_the_reason_says_so() -> None:
    one = study(
        series("1", sop_class_uid=SEGMENTATION, Modality="SEG"),
        series("2", sop_class_uid=BASIC_TEXT_SR, Modality="SR"),
        series("3", sop_class_uid="1.3.12.2.1107.5.9.1", Rows=None),
    )
    decision = decide(route(), one, one_pipeline())
    assert not decision.matched
    assert decision.summary == "not run: the study has no images"
    assert [(r.found, r.holds) for r in decision.reasons] == [
        ("none (Modality SEG)", False),
        ("none (Modality SR)", False),
        ("none (Modality MR)", False),
    ]


@pytest.mark.parametrize(
    ("prefer", "chosen", "why"),
    [
        ([{"lowest": "SliceThickness"}], "3", "lowest SliceThickness (0.8, not 1)"),
        ([{"highest": "SliceThickness"}], "1", "highest SliceThickness (1.2, not 1)"),
        ([{"most": "images"}], "2", "most images (4, not 3)"),
        ([{"fewest": "images"}], "1", "fewest images (2, not 3)"),
        ([{"meets": {"Manufacturer": "B"}}], "2", "it meets Manufacturer is B"),
        ([{"highest": "EchoTime"}, {"most": "images"}], "3", "highest EchoTime (5, not absent)"),
        ([], "1", "no preference tells them apart, the lower series number decides"),
    ],
)
def test_preferences_choose_among_fitting_series(prefer: object, chosen: str, why: str) -> None:
    one = study(
        series("3", SeriesNumber=7, SliceThickness=0.8, EchoTime=5, images=3),
        series("1", SeriesNumber=2, SliceThickness=1.2, images=2),
        series("2", SeriesNumber=3, SliceThickness=1.0, Manufacturer="B", images=4),
    )
    (selected,) = decide(route(), one, one_pipeline(spec(prefer=prefer))).inputs
    assert selected.series_instance_uid == chosen
    assert selected.why == f"best of 3 series that fit: {why}"


def test_the_choice_does_not_depend_on_the_order_of_arrival() -> None:
    twins = [series(uid, SeriesNumber=4) for uid in ("1.9", "1.10", "1.2")]
    for order in (twins, twins[::-1], [twins[1], twins[2], twins[0]]):
        (selected,) = decide(route(), study(*order), one_pipeline()).inputs
        assert selected.series_instance_uid == "1.10"
        assert "the lower series UID decides" in selected.why


def test_one_series_never_serves_two_inputs_of_a_pipeline() -> None:
    either = one_pipeline(spec("first"), spec("second", {"EchoTime": 1}))
    both_fit_first = study(series("1", SeriesNumber=1, EchoTime=1), series("2", SeriesNumber=2))
    chosen = decide(route(), both_fit_first, either).inputs
    assert [(one.input_name, one.series_instance_uid) for one in chosen] == [
        ("first", "2"),
        ("second", "1"),
    ]
    assert "1 better placed went to other inputs" in chosen[0].why
    alone = decide(route(), study(series("1", EchoTime=1)), either)
    assert not alone.matched
    assert alone.summary.startswith("not run: no series is left for brain-mr/second")


def test_a_pipeline_runs_without_an_input_that_it_can_do_without() -> None:
    wants = one_pipeline(spec("flair", {"EchoTime": 9}, required=False), spec("t1"))
    found = assess(route(), study(series("1")), wants)
    assert found.decision.matched
    assert found.missing == ()
    assert found.missing_optional == ("brain-mr/flair",)


def test_a_missing_required_input_is_named_beside_what_is_already_there() -> None:
    wants = one_pipeline(spec("t1", {"EchoTime": 3}), spec("flair", {"EchoTime": 9}))
    found = assess(route({"Modality": "MR"}), study(series("1", EchoTime=3)), wants)
    assert not found.decision.matched
    assert found.missing == ("brain-mr/flair",)
    assert [one.input_name for one in found.filled] == ["t1"]
    assert found.when_met == ("1",)


def test_a_route_with_two_pipelines_needs_the_inputs_of_both() -> None:
    wants = one_pipeline(spec("a"), name="one") | one_pipeline(spec("b"), name="two")
    both = route(run=("one", "two"))
    assert [i.pipeline for i in decide(both, study(series("1")), wants).inputs] == ["one", "two"]
    wants |= one_pipeline(spec("b", {"EchoTime": 3}), name="two")
    assert not decide(both, study(series("1")), wants).matched
