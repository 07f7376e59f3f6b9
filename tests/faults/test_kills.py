"""Kill -9 of a receiver, the orchestrator, both at once, while modalities send."""

import random
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.datasets import Instance, study_of
from tests.faults.kills import NEARBY, Rounds, Tally
from tests.faults.site import Nursery, site
from tests.faults.truth import SpoolReader
from tests.faults.wire import Peer, contexts_for

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


@pytest.mark.parametrize("after", [{"processes": 1}, {"processes": 1, "durability": "association"}])
def test_what_killed_processes_left_is_found_by_a_receiver_with_other_settings(
    tmp_path: Path, nursery: Nursery, after: dict[str, object]
) -> None:
    """Four processes die with acknowledged images that have no lasting names; one comes back."""
    rng = random.Random(5)
    studies = [study_of(rng, 6) for _ in range(8)]
    acknowledged: list[Instance] = []
    with site(tmp_path, nursery=nursery, roles=("receive",), processes=4) as it:
        with ExitStack() as ends:
            peers = [ends.enter_context(Peer(it.port)) for _ in studies]
            for peer, study in zip(peers, studies, strict=True):
                peer.associate(contexts_for(study))
            for column in zip(*studies, strict=True):
                for peer, one in zip(peers, column, strict=True):
                    peer.begin(one)
                for peer, one in zip(peers, column, strict=True):
                    assert peer.answer().status == 0
                    acknowledged.append(one)
            it.roles["receive"].halt()
        left = len(SpoolReader(it.spool).judge(acknowledged).lost)
    with site(tmp_path, nursery=nursery, roles=("receive",), **after) as it:
        finding = SpoolReader(it.spool).wait_for(acknowledged)
        assert not finding, f"{left} waited for their names, {len(finding.lost)} still do"
