"""What was captured on the wire is what lies in the spool, whatever it is encoded in."""

import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.counterparts import wait_until
from tests.faults import varieties
from tests.faults.datasets import Instance
from tests.faults.site import Nursery, Site, site
from tests.faults.truth import KEPT, SET_ASIDE, SpoolReader, wait_for_rows
from tests.faults.wire import Peer, contexts_for

OF_UIDS = {0xC103, 0xC104, 0xC105, 0xA901}  # UIDs that are missing, unusable or others
# The files that come with the tests, or a folder of everything that a site has.
DATA = Path(os.environ.get("APPLIANCE_FAULTS_DATA") or Path(__file__).parents[1] / "data")


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("bits"), nursery=nursery) as made:
        yield made
        assert made.strange_lines() == []
        assert all(role.starts == 1 for role in made.roles.values())


def statuses(it: Site, instances: Sequence[Instance]) -> list[int]:
    """Send in associations of at most 100 contexts; fragments of odd and even sizes."""
    found = []
    for start in range(0, len(instances), 100):
        some = instances[start : start + 100]
        with Peer(it.port) as peer:
            peer.associate(contexts_for(some))
            for number, one in enumerate(some):
                size = (999, 4096, 65_000, 1 << 20)[number % 4]
                found.append(peer.store(one, fragment=size))
            peer.release()
    return found


@pytest.mark.parametrize("make", [varieties.of_each_syntax, varieties.of_each_character_set])
def test_each_transfer_syntax_and_character_set_is_kept_to_the_bit(it: Site, make) -> None:
    instances = list(make(random.Random(1)))
    assert set(statuses(it, instances)) == {0}
    assert not SpoolReader(it.spool).wait_for(instances)
    assert not wait_for_rows(it.store, instances)


def test_a_truncated_data_set_is_kept_and_told(it: Site) -> None:
    """Its sender said everything that it has: to refuse it would lose even that."""
    instances = list(varieties.truncated(random.Random(2)))
    assert set(statuses(it, instances)) == {0}
    reader = SpoolReader(it.spool, (*KEPT, SET_ASIDE))
    assert not reader.wait_for(instances)
    names = reader.names()
    for one in instances:
        (name,) = names[one.sha256]
        reason = it.spool / SET_ASIDE / f"{name}.txt"
        wait_until(lambda reason=reason: reason.exists() and reason.read_text().strip())


@pytest.mark.parametrize("segment", [1, 5, 7, 11, 13])
def test_how_the_network_cuts_the_bytes_changes_nothing(it: Site, segment: int) -> None:
    instances = list(varieties.of_each_character_set(random.Random(segment)))[:3]
    with Peer(it.port, segment=segment) as peer:
        peer.associate(contexts_for(instances))
        assert [peer.store(one, fragment=333) for one in instances] == [0, 0, 0]
        peer.release()
    assert not SpoolReader(it.spool).wait_for(instances)


def test_files_of_others_are_kept_to_the_bit(it: Site) -> None:
    instances = list({one.sha256: one for one in varieties.files_in(DATA)}.values())
    found = list(zip(instances, statuses(it, instances), strict=True))
    taken = [one for one, status in found if status == 0]
    assert len(taken) > 0.9 * len(instances)
    refused = {one.study_instance_uid: status for one, status in found if status}  # by file name
    assert set(refused.values()) <= OF_UIDS, refused
    reader = SpoolReader(it.spool, (*KEPT, SET_ASIDE))
    assert not reader.wait_for(taken, 120)
