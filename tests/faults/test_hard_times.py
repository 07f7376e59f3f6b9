"""A full disk, a spool that cannot be written, a locked store, a clock that goes back."""

import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.counterparts import wait_until
from tests.faults import disks
from tests.faults.datasets import Instance, image, new_uid, study_of
from tests.faults.site import Hardships, Nursery, Site, site
from tests.faults.truth import SpoolReader, wait_for_rows
from tests.faults.wire import Peer, contexts_for, is_well, send_all

NO_ROOM = 0xA700
ROOM = {"disk": {"warn_below": "2 KB", "refuse_below": "1 KB"}}


def large(seed: int, count: int, size: int = 400_000) -> list[Instance]:
    rng = random.Random(seed)
    study, series = new_uid(rng), new_uid(rng)
    return [image(rng, study=study, series=series, number=n, size=size) for n in range(count)]


def offer(it: Site, instances: list[Instance]) -> dict[str, int]:
    """Send all; return the status of each. The association must live through all of it."""
    with Peer(it.port) as peer:
        peer.associate(contexts_for(instances))
        statuses = {one.sop_instance_uid: peer.store(one) for one in instances}
        peer.release()
    return statuses


def all_is_kept(it: Site, instances: list[Instance]) -> None:
    assert not SpoolReader(it.spool).wait_for(instances)
    if "orchestrate" in it.roles:
        assert not wait_for_rows(it.store, instances)
    assert it.strange_lines() == []
    assert all(role.starts == 1 for role in it.roles.values())


def test_a_full_disk_refuses_what_it_cannot_hold_and_keeps_what_it_acknowledged(
    tmp_path: Path, nursery: Nursery
) -> None:
    if not disks.may_mount(tmp_path):
        pytest.skip("this machine lets us mount no small disk")
    first, second = large(1, 20), large(2, 4)
    with (
        disks.small_disk(tmp_path / "data", 12),
        site(tmp_path, nursery=nursery, **ROOM) as it,
    ):
        filler = disks.fill(tmp_path / "data", 5_000_000)
        statuses = offer(it, first)
        assert set(statuses.values()) == {0, NO_ROOM}
        assert is_well(it.port)
        taken = [one for one in first if statuses[one.sop_instance_uid] == 0]
        filler.unlink()
        wait_until(lambda: offer(it, second[:1])[second[0].sop_instance_uid] == 0)
        assert set(offer(it, second).values()) == {0}
        all_is_kept(it, [*taken, *second])


def test_a_file_that_cannot_grow_is_refused_and_smaller_ones_are_taken(
    tmp_path: Path, nursery: Nursery
) -> None:
    """The kernel cuts the write in the middle of a data set: real on every machine."""
    small, too_large = large(3, 2, 40_000), large(4, 2, 3_000_000)
    limit = Hardships(largest_file=2_000_000)
    with site(tmp_path, nursery=nursery, roles=("receive",), hardships=limit) as it:
        assert set(offer(it, too_large).values()) == {NO_ROOM}
        assert set(offer(it, small).values()) == {0}
        all_is_kept(it, small)
        assert not SpoolReader(it.spool).judge(small[:0] + too_large).doubled
        assert len(SpoolReader(it.spool).judge(too_large).lost) == 2


def test_a_spool_that_cannot_be_written_promises_nothing_that_it_does_not_keep(
    tmp_path: Path, nursery: Nursery
) -> None:
    before, during, after = (large(seed, 3, 30_000) for seed in (5, 6, 7))
    with site(tmp_path, nursery=nursery, hardships=Hardships(without_powers=True)) as it:
        assert set(offer(it, before).values()) == {0}
        all_is_kept(it, before)
        with disks.unwritable(it.spool):
            statuses = offer(it, during)
            assert set(statuses.values()) <= {0, NO_ROOM}
            assert is_well(it.port)
        assert set(offer(it, after).values()) == {0}
        taken = [one for one in during if statuses[one.sop_instance_uid] == 0]
        all_is_kept(it, [*before, *taken, *after])


def test_a_locked_store_holds_nobody_up_and_is_caught_up_with(
    tmp_path: Path, nursery: Nursery
) -> None:
    earlier, study = study_of(random.Random(7), 1), study_of(random.Random(8), 8)
    with site(tmp_path, nursery=nursery) as it:
        assert send_all(it.port, earlier) == [0]
        assert not wait_for_rows(it.store, earlier)  # the store is made
        with closing(sqlite3.connect(it.store, timeout=30, isolation_level=None)) as holder:
            holder.execute("BEGIN EXCLUSIVE")
            began = time.monotonic()
            assert send_all(it.port, study) == [0] * 8
            assert time.monotonic() - began < 5
            assert is_well(it.port)
            holder.execute("ROLLBACK")
        all_is_kept(it, study)


def test_a_clock_that_jumps_back_loses_nothing_and_holds_no_new_study_up(
    tmp_path: Path, nursery: Nursery
) -> None:
    rng = random.Random(9)
    before, after = study_of(rng, 3), study_of(rng, 3)
    clock = tmp_path / "clock"
    clock.write_text("0")
    with site(tmp_path, nursery=nursery, hardships=Hardships(clock=str(clock))) as it:
        assert send_all(it.port, before) == [0] * 3
        clock.write_text("-7200")
        assert send_all(it.port, after) == [0] * 3
        all_is_kept(it, [*before, *after])
        it.kill("receive", "orchestrate")
        it.wait_until_well()
        assert not SpoolReader(it.spool).wait_for([*before, *after])
        study = after[0].study_instance_uid
        wait_until(lambda: [e for e in it.events("job.queued") if e["study_instance_uid"] == study])
