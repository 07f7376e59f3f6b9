"""A pipeline tried on studies that nobody sent: `appliance pipeline check`, `run` and `new`.

Series are chosen by the code that routes use, and a run has the phases that a worker's has. What
comes of it stays here: nothing in this room knows a destination.

subject     the pipeline that is tried, and every mistake in its folder
choose      which series of a study it would be given, and why
check       one pipeline on one study: what is measured, written and drawn
memory      the peak of this process and of the pipeline's, by phase
montage     slices with what the Segmentation marks on them, as one picture
report      what a check found, as plain values
listing     which studies a cohort has: a folder, or a list
cohort      one study after the other, recorded in the store when it has ended
journal     what a cohort has settled: a killed run goes on there
rows        a cohort's results as tables
template    a folder that passes the check; `templates` has one for each kind
"""
