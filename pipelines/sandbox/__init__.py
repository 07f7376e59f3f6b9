"""What keeps a pipeline's process from the network, from other files and from other processes.

enclosure.py   the whole of it: what the process may still touch, what is on, what is lacking
namespaces.py  a network without interfaces; every file system read-only but for its own folder
landlock.py    which folders it may read and write
seccomp.py     which system calls it may make
kernel.py      those calls that Python has no name for

A process encloses itself, before it has a second thread and before anything of a pipeline is
read: what it started with (its own code, its end of a socket) is ours. Nothing here imports NumPy,
which starts threads. Each part is used where the kernel has it and allows it; none can be taken
off again, and all that the process starts is under them too.
"""
