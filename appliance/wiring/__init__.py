"""Settings in, objects out. The one place that knows every room.

site.py       an installation, opened: folders, secrets, store, spool
catalogue.py  the pipelines that the settings name
nodes.py      other DICOM nodes, as rooms ask for them
intake.py     orchestrator, retention, and the same decision for `explain`
web.py        pages, forms, accounts, links
schedule.py   what happens by the clock
roles.py      each role as a Service
"""
