"""Whether a file of the spool is still what was received."""

import mmap
import os
from pathlib import Path

from appliance.core.errors import BadInstance
from scp import filemeta
from scp.checksum import matches


def is_sound(path: Path, checksum: str) -> bool:
    """Return whether the data set in the spool's file has this checksum.

    The file is on the disk then, however it was received. Raises BadInstance where it is no file
    of the spool; OSError where the disk does not give it.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
            os.fsync(file.fileno())
            _, start = filemeta.decode(data)
            with memoryview(data) as whole, whole[start:] as data_set:
                return matches(checksum, data_set)
    except ValueError as error:  # an empty file cannot be mapped
        raise BadInstance(f"{path.name} cannot be read: {error}") from error
