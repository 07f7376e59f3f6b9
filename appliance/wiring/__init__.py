"""Settings in, objects out. The one place that knows every room.

site.py       an installation, opened: folders, secrets, spool, store (store.py)
roles.py      which module makes which role
receive.py, intake.py, work.py, deliver.py, web.py, schedule.py   a role each
catalogue.py  the pipelines that the settings name
doors.py      fetching and importing
stow.py       STOW-RS before the pages
nodes.py      other DICOM nodes, as rooms ask for them
forms.py      the feedback forms
readers.py    accounts and links
checks.py     what `appliance check` looks at
copies.py     export and backup
"""
