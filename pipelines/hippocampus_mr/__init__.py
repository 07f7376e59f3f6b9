"""The shipped hippocampus pipeline: a MONAI bundle, trained here.

pipeline.yaml  what it is for, its output and limits
card.md        the model card
configs/       what MONAI runs, to infer and to train
docs/          the bundle's own page, and the validation
models/        the weights
scripts/       training, cross-validation, tables
"""
