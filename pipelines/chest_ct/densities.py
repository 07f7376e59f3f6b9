"""The densities of a lung, from the voxels that are marked as it.

LAA-950: Müller NL, Staples CA, Miller RR, Abboud RT. "Density mask". Chest 1988;94(4):782-787;
the threshold: Gevenois PA, de Vuyst P, de Maertelaer V, et al. Am J Respir Crit Care Med
1996;154(1):187-192. Perc15: Dirksen A, Dijkman JH, Madsen F, et al. Am J Respir Crit Care Med
1999;160(5):1468-1472; Parr DG, Stoel BC, Stolk J, Stockley RA. Thorax 2006;61(6):485-490.
"""

import numpy as np

from appliance.core.model import Measurement
from pipelines.codes import HOUNSFIELD, LAA_950, MEAN_ATTENUATION, PERC_15, PERCENT
from pipelines.volume import Float32

THRESHOLD_HU = -950.0
PERCENTILE = 15


def measured(values: Float32) -> tuple[Measurement, ...]:
    """Return mean density, LAA-950 and Perc15 of a lung's voxels, given in HU."""
    below = float(np.count_nonzero(values < THRESHOLD_HU)) / values.size
    return (
        Measurement(
            concept=MEAN_ATTENUATION, value=float(values.mean(dtype=np.float64)), unit=HOUNSFIELD
        ),
        Measurement(concept=LAA_950, value=100.0 * below, unit=PERCENT),
        Measurement(
            concept=PERC_15, value=float(np.percentile(values, PERCENTILE)), unit=HOUNSFIELD
        ),
    )


def not_measured(reason: str) -> tuple[Measurement, ...]:
    """Return the same without numbers.

    The mean too: contrast agent in the blood raises it, noise that is cut off at -1024 HU raises
    it with sharp kernels, and thick slices blend a lung's surface with what is around.
    """
    return tuple(
        Measurement(concept=concept, value=None, unit=unit, not_measured=reason)
        for concept, unit in (
            (MEAN_ATTENUATION, HOUNSFIELD),
            (LAA_950, PERCENT),
            (PERC_15, HOUNSFIELD),
        )
    )
