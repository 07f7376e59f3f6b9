"""Several inputs: the hottest lesion of a PET, drawn and measured on a CT.

pipeline.yaml  what it wants and says
pipeline.py    the run
"""
