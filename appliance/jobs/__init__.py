"""Runs the queue's jobs.

worker.py     claims jobs and settles how each attempt ended
attempt.py    one attempt: read, infer, encode, write, commit
phases.py     what every run does, wherever its images lie: read, infer, encode
reasons.py    what went wrong, in words
ahead.py      reads the next job's images while this one runs
heartbeat.py  keeps the lease, tells progress, hears of a cancel
local.py      the executor on this machine
warm.py       the children that stay warm
memory.py     which of them make room; what to do where a GPU is full
limits.py     what one run may take: time, memory, processes
process.py    one child process: start, look, end
words.py      what a child prints
scratch.py    the folders of children and runs
folders.py    whether a pipeline's folder is still what the job was queued for
results.py    encoded objects as files that last
document.py   docs/JOB_STATES.md
options.py    what this room wants to be told
"""
