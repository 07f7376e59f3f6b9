"""Results → DICOM objects: Segmentation and Comprehensive 3D SR, byte-identical at each call.

    context.py    who ran what when: everything that an encoding needs and no pixel says
    source.py     headers of the source series: patient, study, where each slice lies
    inherit.py    patient and study as the source has them, character set, time zone
    equipment.py  the appliance and the model, the same in every place that names them
    terms.py      coded concepts, own coding scheme
    seg.py        label map → binary Segmentation
    sr.py         findings → measurement report (TID 1500)
    made.py       an object that the pipeline made itself, read and checked
    adopt.py      such objects → objects of the run
    finish.py     what every object of ours has in common
    part10.py     data set → bytes
    encoder.py    one run's output → its objects

highdicom builds the parts whose rules are intricate (functional groups, content trees). What it
takes from the clock or from chance is replaced.
"""

from pipelines.encode.context import EncodedObject, PriorObject, RunContext
from pipelines.encode.encoder import encode

__all__ = ["EncodedObject", "PriorObject", "RunContext", "encode"]
