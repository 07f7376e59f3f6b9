"""What a site may set, and how a reader is told."""

import pytest

from pipelines.parameters import effective, mistakes, notes
from pipelines.specs import Parameter, ParameterValue

DECLARED = (
    Parameter(name="threshold", default=0.5, meaning="share of the maximum."),
    Parameter(name="rounds", default=3, meaning="of smoothing."),
    Parameter(name="fill", default=True, meaning="whether holes are filled."),
    Parameter(name="kernel", default="soft", meaning="of the smoothing."),
)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("treshold", 0.5, "the pipeline has no such parameter; did you mean 'threshold'?"),
        ("threshold", "half", "write a number, not 'half'"),
        ("threshold", True, "write a number, not True"),
        ("threshold", float("nan"), "write a number, not nan"),
        ("rounds", 2.5, "write a whole number, not 2.5"),
        ("fill", 1, "write true or false, not 1"),
        ("kernel", 7, "write text, not 7"),
    ],
)
def test_a_value_that_the_pipeline_can_not_be_given_is_told(
    name: str, value: ParameterValue, told: str
) -> None:
    assert list(mistakes(DECLARED, {name: value})) == [(name, told)]


def test_a_whole_number_will_do_for_a_real_one() -> None:
    assert list(mistakes(DECLARED, {"threshold": 1})) == []
    values = effective(DECLARED, {"threshold": 1})
    assert values == {"threshold": 1.0, "rounds": 3, "fill": True, "kernel": "soft"}
    assert isinstance(values["threshold"], float)


def test_only_what_differs_from_its_default_is_told() -> None:
    assert notes(DECLARED, {"threshold": 0.5, "fill": False}) == (
        "Here fill is set to False, not True: whether holes are filled.",
    )
