"""Codes that pipelines measure with; those that no standard scheme has are declared here."""

from collections.abc import Mapping
from types import MappingProxyType

from appliance.core import product
from appliance.core.model import Code

BOTH_LUNGS = Code(value="74101002", scheme="SCT", meaning="Both lungs")

# DCM 112181 is of CID 6141; the units are of CID 83 "Unit for Real World Value Mapping".
MEAN_ATTENUATION = Code(value="112181", scheme="DCM", meaning="Mean Attenuation Coefficient")
HOUNSFIELD = Code(value="[hnsf'U]", scheme="UCUM", meaning="Hounsfield unit")
PERCENT = Code(value="%", scheme="UCUM", meaning="Percent")

LAA_950 = Code(
    value="LAA-950", scheme=product.CODING_SCHEME, meaning="Low attenuation area below -950 HU"
)
PERC_15 = Code(
    value="PERC15", scheme=product.CODING_SCHEME, meaning="15th percentile of attenuation"
)

# Of the hippocampus SNOMED CT's part in DICOM has the whole alone (CID 7140).
ANTERIOR_HIPPOCAMPUS = Code(
    value="HIPPO-ANTERIOR", scheme=product.CODING_SCHEME, meaning="Anterior part of hippocampus"
)
POSTERIOR_HIPPOCAMPUS = Code(
    value="HIPPO-POSTERIOR", scheme=product.CODING_SCHEME, meaning="Posterior part of hippocampus"
)

# What each code of ours means, for the conformance statement.
OWN: Mapping[Code, str] = MappingProxyType(
    {
        LAA_950: "Share of a lung's voxels, in per cent, whose attenuation is lower than -950 HU.",
        PERC_15: "Attenuation in HU below which 15 per cent of a lung's voxels lie.",
        ANTERIOR_HIPPOCAMPUS: "Head of a hippocampus, with its part of the subiculum.",
        POSTERIOR_HIPPOCAMPUS: "Body and tail of a hippocampus, with their part of the subiculum.",
    }
)
