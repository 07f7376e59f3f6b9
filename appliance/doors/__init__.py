"""Other ways into the spool than a C-STORE to us: what we go and get.

options.py  what a site may say of them
fetch.py    one study from a node: existence, then its series by C-MOVE or C-GET
polling.py  rules for sites whose archive cannot route
folder.py   a folder whose DICOM files are imported

What comes this way is never news for a route: it is backfill (see `appliance.intake.backfill`).
"""
