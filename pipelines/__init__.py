"""A series becomes an array, a model says something of it, and that becomes SR and SEG.

    volume.py     Volume, LabelMap: arrays with a frame in mm (LPS)
    attributes.py the attributes of a data set that rules and pipelines may read
    series.py     files of one series -> Volume, or the reason why not
    slices.py     one slice as series.py sees it, from classic and enhanced objects
    geometry.py   the checks of a stack of slices: gaps, tilt, duplicates
    decode.py     pixel data -> float32, bounded before anything is allocated
    coverage.py   is the whole of what the manifest declares in the field of view
    resample.py   grids, linear resampling, class probabilities back to the source frame
    personal.py   which texts tell who somebody is, and what stands in their place
    manifest.py   pipeline.yaml; digest of a pipeline's folder
    folders.py    name -> folder
    registry.py   folder -> object
    weights.py    SHA-256 before loading
    device.py     which device, never silently another
    base.py       what a pipeline is
    guard.py      the checks round every pipeline
    checks.py     what several pipelines ask of attributes before they compute
    codes.py      codes to measure with, those of our own among them
    brain_mr/     the shipped brain MR pipeline
    chest_ct/     the shipped chest CT pipeline

Nothing here touches the database or the network.
"""
