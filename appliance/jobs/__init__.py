"""Runs the queue's jobs.

worker.py     claims jobs and settles how each attempt ended
attempt.py    one attempt: read, infer, encode, write, commit
phases.py     what every run does, wherever its images lie: read, infer, encode
reasons.py    what went wrong, in words
heartbeat.py  keeps the lease, tells progress, hears of a cancel
local.py      the executor on this machine: warm children, limits
process.py    one child process: start, watch, end, last words
memory.py     resident memory of a process group
folders.py    whether a pipeline's folder is still what the job was queued for
results.py    encoded objects as files that last
document.py   docs/JOB_STATES.md
options.py    what this room wants to be told
"""
