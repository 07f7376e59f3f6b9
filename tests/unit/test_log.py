"""What goes to the log, whatever libraries say."""

import subprocess
import sys

# Reads a header whose UID is a name and whose PatientID is too long, as the pages do.
READER = """
import io, pydicom
from pydicom.dataset import Dataset
from appliance.core.log import Event, log_event, log_to_stderr

log_to_stderr()
header = Dataset()
header.add_new("StudyInstanceUID", "UI", "DOE.JOHN")
header.add_new("PatientID", "LO", "DOE" * 40)
file = io.BytesIO()
pydicom.dcmwrite(file, header, implicit_vr=False, little_endian=True)
again = pydicom.dcmread(io.BytesIO(file.getvalue()), force=True)
assert again.PatientID and again.StudyInstanceUID
log_event(Event.SERVICE_STARTED, role="web")
"""


def test_what_pydicom_says_of_a_header_is_not_logged() -> None:
    ran = subprocess.run([sys.executable, "-c", READER], capture_output=True, text=True, check=True)
    (line,) = ran.stderr.splitlines()
    assert '"service.started"' in line
