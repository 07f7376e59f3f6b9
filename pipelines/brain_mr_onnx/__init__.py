"""MeshNet-18 as an ONNX file, declared in YAML alone.

pipeline.yaml  what it is for, what is done before and after the network, its outputs and codes
card.md        the model card
model.onnx     the network
export.py      how it was made
"""
