"""The whole appliance once, in a scratch folder, beside a stand-in PACS.

`play.py` is the play from first to last; `stage.py` what it stands on; `pacs.py` and `sender.py`
the other actors, both stock pynetdicom; `follow.py` watches; `report.py` writes it down.
"""
