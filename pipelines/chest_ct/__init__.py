"""The shipped chest CT pipeline: volumes and densities of the lungs, by rules, without a network.

pipeline.yaml  what it is for, its output and parameter
card.md        the model card
pipeline.py    the way of one run
suitable.py    what is refused by its attributes, before anything is computed
coarse.py      the chest at about 2 mm, axes the patient's
parts.py       connected parts
airways.py     windpipe and main bronchi
lungs.py       right and left lung on the blocks; what is refused because they are not whole
refine.py      the lungs on the volume's own voxels
fitness.py     may densities be measured on this series
kernels.py     the reconstruction kernels on which they may
densities.py   mean density, LAA-950, Perc15
report.py      findings, features, notes
"""
