"""The shipped brain MR pipeline: MeshNet-18 on an adult whole-head T1.

pipeline.yaml  what it is for, its outputs and codes
card.md        the model card
pipeline.py    the way of one run
suitable.py    what is refused by its attributes, before anything is computed
head.py        the intensities that the model wants, and the part of the head that it is given
net.py         the network and its weights
sides.py       mid-sagittal plane, left and right
plausible.py   what is refused because the result cannot be a whole brain
findings.py    labels and sides become segments, findings and features
"""
