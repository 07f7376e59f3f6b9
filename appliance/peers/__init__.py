"""Every outgoing association.

node.py         where a DICOM node is
association.py  an association to it, and what is wrong when there is none
status.py       what an answer to C-STORE means: accepted, try again, or neither
sending.py      C-STORE of files, their data sets byte for byte
client.py       DicomClient: echo, find, store
"""
