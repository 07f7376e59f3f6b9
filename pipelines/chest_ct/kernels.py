"""Reconstruction kernels on which emphysema was quantified before, by manufacturer.

What sharpens edges widens the histogram: on the same 21 patients at 1 mm, LAA-950 was 32 to 34 %
with B20f to B40f, and 41 to 42 % with B50f and B60f (Gierada 2010, table 2). A kernel that is not
here is not known to be wrong; it is not known to give comparable numbers.
"""

from collections.abc import Mapping
from types import MappingProxyType

# COPDGene: Regan EA, Hokanson JE, Murphy JR, et al. COPD 2010;7(1):32-43.
# SPIROMICS: Sieren JP, Newell JD Jr, Barr RG, et al. Am J Respir Crit Care Med 2016;194(7):794-806.
# Gierada: Gierada DS, Bierhals AJ, Choong CK, et al. Acad Radiol 2010;17(2):146-156.
KERNELS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "GE": MappingProxyType({"STANDARD": "COPDGene, SPIROMICS"}),
        "Philips": MappingProxyType({"B": "COPDGene, SPIROMICS"}),
        "Siemens": MappingProxyType(
            {
                "B20f": "Gierada 2010",
                "B30f": "Gierada 2010",
                "B31f": "COPDGene",
                "B35f": "SPIROMICS",
                "B40f": "Gierada 2010",
            }
        ),
    }
)


def why_not(manufacturer: str, kernel: str) -> str:
    """Return why densities cannot be compared with this kernel; "" where they can."""
    if not kernel:
        return "the images do not name their reconstruction kernel"
    words = manufacturer.upper().replace("_", " ").split()
    for name, listed in KERNELS.items():
        if name.upper() in words:
            if kernel.upper() in {word.upper() for word in listed}:
                return ""
            return (
                f"the reconstruction kernel is {kernel}; of {name}, {', '.join(listed)} can be used"
            )
    return f"no kernel of {manufacturer or 'an unknown manufacturer'} is on the list"
