"""Whatever comes in at the port: it is answered or ended in time, and nobody else notices."""

from collections import Counter
from pathlib import Path

from tests.faults import hostile
from tests.faults.site import Nursery, site


def test_no_attack_of_the_corpus_does_harm(tmp_path: Path, nursery: Nursery) -> None:
    attacks = hostile.whole_corpus()
    assert len(attacks) >= 300
    with site(tmp_path, nursery=nursery, **hostile.LIMITS) as it:
        damage = hostile.attack(it, attacks)
    assert damage.misfits == []
    assert damage.harmed == []
    assert (damage.lost, damage.doubled, damage.crashed) == ([], [], [])
    assert damage.escaped == []
    assert damage.silent_quarantine == []
    assert damage.growth < hostile.GROWTH


def test_the_corpus_names_each_attack_once() -> None:
    names = Counter(attack.name for attack in hostile.whole_corpus())
    assert not [name for name, count in names.items() if count > 1]
