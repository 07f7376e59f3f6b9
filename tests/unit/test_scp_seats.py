"""Seats are counted over processes, and those of the dead are free."""

import subprocess
import sys
from pathlib import Path

import pytest

from scp.seats import Seats

HOLDER = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from scp.seats import Seats
seats = Seats(Path({path!r}), 3)
print(seats.take("10.0.0.1", 2), seats.take("10.0.0.1", 2), flush=True)
sys.stdin.read()
"""


def test_what_others_hold_counts_and_a_killed_holder_gives_it_back(tmp_path: Path) -> None:
    path = tmp_path / "seats"
    ours = Seats(path, 3)
    script = HOLDER.format(root=str(Path.cwd()), path=str(path))
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"0 1\n"
        with pytest.raises(OverflowError):
            ours.take("10.0.0.1", 2)
        assert ours.take("10.0.0.2", 2) == 2
        assert ours.take("10.0.0.3", 2) is None
        other.kill()
    assert ours.take("10.0.0.1", 2) == 0
    ours.leave(0)
    assert ours.take("10.0.0.3", 2) == 0
    ours.close()
