"""Kind `command`: an outside program, started anew for each run.

    program.py      starts it, listens to it, ends it with everything that it started
    conventions.py  how it is told where its files are
    inputs.py       the run's images as files of its own
    outputs.py      its folder after it ended: bounded, plain files alone
    labels.py       NIfTI label map -> labels on the source's voxels
    numbers.py      JSON -> measurements, notes, features
    kind.py         one run, from the images to what it says

Its DICOM objects are only collected here; `pipelines.encode.adopt` looks at them.
"""

from pipelines.kinds.command.kind import build

__all__ = ["build"]
