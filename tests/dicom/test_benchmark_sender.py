"""The sender of the benchmarks sends what it says: else its figures mean nothing."""

import hashlib
import re
from pathlib import Path

import pytest
from pydicom import dcmread

from benchmarks.common import Ratio
from benchmarks.instances import blank, sized, write_files
from benchmarks.receive import Case, Plan, Row, ratios
from benchmarks.sending import shares
from benchmarks.wire import Association, Instance, uid
from tests.counterparts import wait_until
from tests.receiving import data_set_of, receiver


@pytest.mark.parametrize("max_pdu_length", [4096, 131_072])
def test_every_copy_arrives_as_it_was_numbered(tmp_path: Path, max_pdu_length: int) -> None:
    made = blank("mr")
    sent = {}
    with receiver(tmp_path, accept_unknown_peers=True, max_pdu_length=max_pdu_length) as running:
        association = Association(running.port, [made.sop_class_uid])
        instance = association.instance(made)
        for index in range(1, 4):
            instance.number(index, uid(1, 5, 0, 0), uid(2, 5, 0, 0), uid(3, 5, 0, index))
            sent[uid(3, 5, 0, index).decode()] = b"".join(instance.data_set())
            assert association.store(instance) == 0
        association.release()
        spool = running.spool
        wait_until(lambda: len(spool.new_entries()) == 3)
        kept = {spool.read(n).sop_instance_uid: spool.path(n) for n in spool.new_entries()}
        assert {name: data_set_of(path) for name, path in kept.items()} == sent
    numbers = {int(dcmread(path).InstanceNumber) for path in kept.values()}
    assert numbers == {1, 2, 3}


def test_a_refusal_is_told(tmp_path: Path) -> None:
    made = blank("ct")
    with receiver(tmp_path, accept_unknown_peers=True, refuse_below_bytes=10**18) as running:
        association = Association(running.port, [made.sop_class_uid])
        assert association.store(association.instance(made)) == 0xA700
        association.release()


def test_a_status_is_not_taken_from_another_element(tmp_path: Path) -> None:
    with receiver(tmp_path, accept_unknown_peers=True) as running:
        made = sized(2000)
        association = Association(running.port, [made.sop_class_uid])
        instance = association.instance(made)
        # Message ID 0x0209: its bytes and its neighbours look like the head of a status.
        instance.number(0x0209, uid(1, 6, 0, 0), uid(2, 6, 0, 0), uid(3, 6, 0, 1))
        assert association.store(instance) == 0
        association.release()


def test_files_for_other_senders_hold_the_same_elements(tmp_path: Path) -> None:
    folder = write_files(blank("ct"), tmp_path / "files", 7, 0, 2)
    first, second = (dcmread(path) for path in sorted(folder.iterdir()))
    assert first.file_meta.MediaStorageSOPInstanceUID == first.SOPInstanceUID
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.StudyInstanceUID == second.StudyInstanceUID
    assert len(first.PixelData) == 512 * 512 * 2
    hashes = [hashlib.sha256(dataset.PixelData).digest() for dataset in (first, second)]
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize("size", [10**6, 10**8])
def test_an_instance_has_the_size_that_was_asked_for(size: int) -> None:
    instance = Instance(sized(size), 1, 131_072)
    assert abs(instance.size - size) < 0.6 * 2**19
    assert sum(map(len, instance.data_set())) == instance.size


def test_shares_add_up() -> None:
    assert shares(10, 4) == [3, 3, 2, 2]


def test_a_ratio_is_the_median_of_the_rounds() -> None:
    case = Case(workload="ct", sender="own", associations=1)

    def row(name: str, rate: float) -> Row:
        numbers = dict.fromkeys(Row.__slots__, 0.0) | {"acknowledged": rate}
        return Row(**numbers | {"case": case, "receiver": name})  # type: ignore[arg-type]

    rows = [row("appliance:none", rate) for rate in (10, 30, 20)]
    rows += [row("storescp", rate) for rate in (10, 20, 40)]
    planned = Plan(
        cases=(case,),
        receivers=("appliance:none", "storescp"),
        rounds=3,
        counts={"ct": 1},
        processes=None,
    )
    (found,) = ratios(rows, planned)
    assert found.ratio == 1.0
    assert found.conditions["spread"] == "0.50-1.50"
    assert re.match(r"ratio peer=storescp associations=1 durability=none ", found.line())


def test_the_value_is_the_last_word_of_a_line() -> None:
    line = Ratio(what="a", peer="b", ratio=1.041, conditions={"c": 1}).line()
    assert line == "ratio peer=b c=1 what=a value=1.04"
