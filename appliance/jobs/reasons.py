"""What went wrong, in words that may stand on a page, in the store and in a log."""

import traceback
from pathlib import Path
from types import TracebackType

from appliance.core.errors import ApplianceError


def in_words(error: BaseException, trace: TracebackType | None) -> str:
    """Return why; of an error outside the tree its class and place, not its text.

    That text may quote what a library read from the images.
    """
    if isinstance(error, ApplianceError):
        return str(error)
    name = type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        return f"{name}: {error.strerror}"
    frames = traceback.extract_tb(trace)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"internal error: {name}{place}; the log has more"
