"""The table of what a run measured, and what it did not measure and why."""

from appliance.core.model import Code, Finding, Measurement, Region, Segment, Side
from feedback.measured import Cell, table, withheld

LUNG = Code(value="39607008", scheme="SCT", meaning="Lung")
VOLUME = Code(value="118565006", scheme="SCT", meaning="Volume")
MEAN = Code(value="112181", scheme="DCM", meaning="Mean Attenuation Coefficient")
MILLILITRE = Code(value="mL", scheme="UCUM", meaning="milliliter")
HOUNSFIELD = Code(value="[hnsf'U]", scheme="UCUM", meaning="Hounsfield unit")
THICK = "the slices are 5 mm thick; at most 1.5 mm are allowed"


def finding(side: Side | None, segment: int | None, volume: float, why: str = THICK) -> Finding:
    return Finding(
        name="Lung" if side else "Lungs",
        structure=LUNG,
        side=side,
        measurements=(
            Measurement(concept=VOLUME, value=volume, unit=MILLILITRE),
            Measurement(concept=MEAN, value=None, unit=HOUNSFIELD, not_measured=why),
        ),
        region=Region(segment_number=segment, series_instance_uid="2.25.1") if segment else None,
        tracking_uid=f"2.25.{segment or 9}",
    )


SEGMENTS = tuple(
    Segment(
        number=number,
        name="Lung",
        structure=LUNG,
        category=LUNG,
        side=side,
        tracking_uid=f"2.25.{number}",
        color=(96, 176, 222),
    )
    for number, side in enumerate(Side, 1)
)
FINDINGS = (
    finding(None, None, 5378.3),
    finding(Side.LEFT, 1, 2238.2),
    finding(Side.RIGHT, 2, 3140.2),
)


def test_each_thing_measured_has_a_line_with_both_sides() -> None:
    rows = table(FINDINGS, SEGMENTS)
    assert [(row.name, row.measured, row.unit) for row in rows] == [
        ("Lungs", "Volume", "mL"),
        ("Lungs", "Mean Attenuation Coefficient", "HU"),
        ("Lung", "Volume", "mL"),
        ("Lung", "Mean Attenuation Coefficient", "HU"),
    ]
    assert rows[0].cells == {"none": Cell(text="5378.30", segment=None)}
    assert rows[2].cells == {
        "left": Cell(text="2238.20", segment=1),
        "right": Cell(text="3140.20", segment=2),
    }
    assert rows[2].color == "#60b0de"


def test_what_is_only_marked_comes_last_and_has_no_number() -> None:
    rows = table(FINDINGS[:2], SEGMENTS)
    assert (rows[-1].name, rows[-1].measured, rows[-1].unit) == ("Lung", "", "")
    assert rows[-1].cells == {"right": Cell(text="marked", segment=2)}


def test_what_was_not_measured_is_said_once_for_each_reason() -> None:
    assert {cell.text for cell in table(FINDINGS, SEGMENTS)[3].cells.values()} == {"not measured"}
    assert withheld(FINDINGS) == (
        f"Not measured: Mean Attenuation Coefficient (Lungs; Lung, left; Lung, right): {THICK}.",
    )
    other = finding(Side.LEFT, 1, 1.0, why="")
    assert withheld((FINDINGS[0], other)) == (
        f"Not measured: Mean Attenuation Coefficient (Lungs): {THICK}.",
        "Not measured: Mean Attenuation Coefficient (Lung, left).",
    )


def test_nothing_is_said_where_everything_was_measured() -> None:
    whole = Finding(
        name="Lungs",
        structure=LUNG,
        side=None,
        measurements=FINDINGS[0].measurements[:1],
        region=None,
        tracking_uid="2.25.9",
    )
    assert withheld((whole,)) == ()
