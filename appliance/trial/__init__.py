"""A pipeline tried on studies that nobody sent: `appliance pipeline check`, `run` and `new`.

Series are chosen by the code that routes use, and a run has the phases that a worker's has. What
comes of it stays here: nothing in this room knows a destination.

    choose.py      files → the series for each input of a pipeline, and why
    single.py      one pipeline on one chosen study: read, infer, encode, with times and memory
    memory.py      the peak of this process and of its children, by phase
"""
