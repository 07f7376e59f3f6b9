"""May densities be measured on a series? If not, why not. Pure.

After the requirements of the QIBA profile "CT: Lung Densitometry" (RSNA Quantitative Imaging
Biomarkers Alliance): thin slices, a kernel without edge enhancement, no contrast agent. The limits
themselves are this pipeline's own.
"""

import re
from collections.abc import Iterator

from appliance.core.model import Attributes
from pipelines.checks import NO_CONTRAST, numbers, texts
from pipelines.chest_ct.kernels import why_not
from pipelines.volume import Volume

# From 1 to 2 mm, LAA-950 of the same patients fell from 33 to 30 %, at 5 mm to 26 % (B30f;
# Gierada DS, et al. Acad Radiol 2010;17(2):146-156, table 2).
MAX_SLICE_MM = 1.5

_BOTH = r"with[ _-]and[ _-]without|w/?wo(?![a-z])"
_SAYS_BOTH = re.compile(f"(?i){_BOTH}")
_SAYS_CONTRAST = re.compile(
    rf"(?i)({_BOTH}|\+[ _-]?(c|km|iv|contrast)(?![a-z])"
    r"|(?<![a-z])(c\+|ce|cect|km|cta|ctpa|angio\w*|pulm\w*[ _-]?emb\w*|art(erial|eriell)?"
    r"|(portal[ _-]?)?ven(ous|os|oes)?|post[ _-]?(contrast|km|inj\w*)|enhanced"
    r"|contrast[ _-]?enhanced|(with|w/?)[ _-]?((iv|i\.v\.)[ _-]?)?contrast|mit[ _-]km"
    r"|omnipaque|ultravist|iom?eron|isovue|iopamiro\w*|visipaque|xenetix|optiray)"
    r"(?![a-z]))"
)
_SAYS_NATIVE = re.compile(
    r"(?i)(?<![a-z0-9])(nativ\w*|non[ _-]?contrast|no[ _-]contrast|unenhanced|nonenhanced"
    r"|non[ _-]enhanced|without([ _-](iv|i\.v\.))?([ _-]contrast)?|w/?o([ _-]iv)?[ _-]?contrast"
    r"|ohne[ _-]km|o\.?[ _-]?km|c-)(?![a-z0-9])"
)


def reasons(volume: Volume) -> tuple[str, ...]:
    """Return every reason for which densities of this series cannot be compared with others."""
    return (*_slices(volume), *_kernel(volume.attributes), *_contrast(volume.attributes))


def _slices(volume: Volume) -> Iterator[str]:
    thickness = max(numbers(volume.attributes, "SliceThickness"), default=None)
    apart = volume.spacing[0]
    if thickness is None:
        yield "the images do not say how thick they are"
    elif thickness > MAX_SLICE_MM:
        yield f"the slices are {thickness:g} mm thick; at most {MAX_SLICE_MM:g} mm are allowed"
    elif apart > MAX_SLICE_MM:
        yield f"the slices are {apart:g} mm apart; at most {MAX_SLICE_MM:g} mm are allowed"


def _kernel(attributes: Attributes) -> Iterator[str]:
    # A second value is the strength of an iterative reconstruction.
    kernel = next((text.strip() for text in texts(attributes, "ConvolutionKernel")), "")
    said = why_not(" ".join(texts(attributes, "Manufacturer")), kernel)
    if said:
        yield said


def _contrast(attributes: Attributes) -> Iterator[str]:
    """Yield why blood may be brighter than by itself. What is not said is not known.

    PS3.3 table A.3-1 wants the Contrast/Bolus Module where contrast agent was used; its absence
    says nothing: many scanners, and all who de-identify, leave it out.
    """
    agents = [text.strip() for text in texts(attributes, "ContrastBolusAgent")]
    given = [agent for agent in agents if agent and agent.upper() not in NO_CONTRAST]
    volumes = numbers(attributes, "ContrastBolusVolume", "ContrastBolusTotalDose")
    series = " ".join(texts(attributes, "SeriesDescription", "ProtocolName"))
    said = _SAYS_CONTRAST.search(_without_denials(series))
    if given:
        yield f"contrast agent was given ({', '.join(given)})"
    elif max(volumes, default=0.0) > 0:
        yield f"{max(volumes):g} mL of contrast agent were given"
    elif said:
        yield f"the description says contrast agent ({said[0].strip()!r})"
    elif not any(agents) and not _denied(series, " ".join(texts(attributes, "StudyDescription"))):
        yield "the images do not say whether contrast agent was given"


def _denied(series: str, study: str) -> bool:
    """Return whether a description says that there is none; that of a study may be of another."""
    is_of_one_kind = not _SAYS_CONTRAST.search(_without_denials(study))
    return bool(_SAYS_NATIVE.search(series) or (is_of_one_kind and _SAYS_NATIVE.search(study)))


def _without_denials(text: str) -> str:
    """Return a description without the words that deny contrast agent, which name it too."""
    return text if _SAYS_BOTH.search(text) else _SAYS_NATIVE.sub(" ", text)
