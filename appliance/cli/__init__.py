"""Commands and exit codes: 0 done, 1 failed, 2 usage, 78 configuration.

`common.py` has what commands share; `roles.py` starts processes; `look.py` only reads; `act.py`
changes something; `users.py` is about accounts; `demo.py` shows the whole.
"""

from appliance.cli.main import main

__all__ = ["main"]
