"""Kill -9 of a receiver, the orchestrator, both at once, while modalities send."""

from pathlib import Path

from tests.faults.kills import NEARBY, Rounds, Tally
from tests.faults.site import Nursery, site

ROUNDS = 25


def test_kills_while_sending_lose_and_double_nothing(tmp_path: Path, nursery: Nursery) -> None:
    tally = Tally()
    with site(tmp_path, nursery=nursery) as it:
        rounds = Rounds(it, tally)
        for seed, point in enumerate(NEARBY):
            rounds.play(seed, point)
        for seed in range(len(NEARBY), ROUNDS):
            rounds.play(seed)
        rounds.finish()
    assert tally.verdict() == "lost 0, doubled 0, crashed 0", tally
    assert set(tally.points) == {point.value for point in NEARBY}
    assert tally.kills >= ROUNDS
    assert tally.breaks > 0  # else no kill ever came while something was sent
