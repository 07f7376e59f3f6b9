"""What is said of the lungs: findings with densities, features, notes."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from appliance.core.model import Feature, Finding, Measurement
from appliance.core.uids import uid_from_name
from pipelines.checks import numbers
from pipelines.chest_ct import densities
from pipelines.chest_ct.airways import Airways
from pipelines.chest_ct.lungs import Lungs
from pipelines.codes import BOTH_LUNGS, LAA_950, MEAN_ATTENUATION, PERC_15
from pipelines.findings import MILLILITRE, VOLUME, Said
from pipelines.volume import Float32, Volume

_GAPS = 1.1  # times their thickness: slices further apart leave tissue out
_LEFT_OUT_ML = 20.0  # less is not worth a sentence
_FEATURES = {
    VOLUME: "volume_ml",
    MEAN_ATTENUATION: "mean_hu",
    LAA_950: "laa950_percent",
    PERC_15: "perc15_hu",
}


def with_densities(said: Said, volume: Volume, withheld: str, run_uid: str) -> tuple[Finding, ...]:
    """Return the findings of each lung with its densities and, of two lungs, one of both.

    `withheld` is the reason why densities are not measured; "" where they are.
    """
    values = {
        segment.tracking_uid: volume.array[said.label_map == segment.number]
        for segment in said.segments
    }
    each = tuple(
        replace(
            finding,
            measurements=(
                *finding.measurements,
                *_densities(values[finding.tracking_uid], withheld),
            ),
        )
        for finding in said.findings
    )
    if len(each) == 1:
        return each
    everything = np.concatenate(list(values.values()))
    both = Finding(
        name="Lungs",
        structure=BOTH_LUNGS,
        side=None,
        measurements=(
            Measurement(concept=VOLUME, value=everything.size * volume.voxel_ml, unit=MILLILITRE),
            *_densities(everything, withheld),
        ),
        region=None,
        tracking_uid=uid_from_name(run_uid, "tracking", "Lungs"),
    )
    return (both, *each)


def _densities(values: Float32, withheld: str) -> tuple[Measurement, ...]:
    return densities.not_measured(withheld) if withheld else densities.measured(values)


def features(findings: tuple[Finding, ...], airways: Airways) -> tuple[Feature, ...]:
    """Return what drift watches: every number, and the air in the windpipe, which calibrates."""
    found = {"windpipe_air_hu": airways.air_hu}
    for finding in findings:
        name = f"{finding.name.lower()}_{finding.side}" if finding.side else finding.name.lower()
        for item in finding.measurements:
            if item.value is not None:
                found[f"{name}_{_FEATURES[item.concept]}"] = item.value
    return tuple(Feature(group="output", name=name, number=value) for name, value in found.items())


def notes(volume: Volume, lungs: Lungs, airways: Airways) -> tuple[str, ...]:
    """Return what the reader should know of this series and these lungs."""
    return tuple(_notes(volume, lungs, airways))


def despite(unfit: tuple[str, ...]) -> str:
    """Return the note for densities that a site wants although the series does not allow them."""
    return (
        "Densities were measured because this site's settings ask for them in shadow mode; they "
        f"cannot be compared with others: {'; '.join(unfit)}."
    )


def _notes(volume: Volume, lungs: Lungs, airways: Airways) -> Iterator[str]:
    if len(lungs.sides) == 1:
        yield (
            "Only one lung was found, or two that could not be told apart; no side is given. "
            "Look at the marked region."
        )
    if not airways.has_bronchi:
        yield (
            "The main bronchi could not be told from lungs that are as empty; they are counted "
            "with them."
        )
    if lungs.left_out_ml >= _LEFT_OUT_ML:
        yield (
            f"{lungs.left_out_ml:.0f} mL of air-filled tissue between the lungs' ends belong to "
            "neither lung as marked and are not counted."
        )
    thickness = max(numbers(volume.attributes, "SliceThickness"), default=0.0)
    if thickness and volume.spacing[0] > _GAPS * thickness:
        yield (
            f"The slices are {thickness:g} mm thick and {volume.spacing[0]:g} mm apart: what lies "
            "between them was not seen, and volumes count it as if it were like them."
        )
