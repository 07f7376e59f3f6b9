"""A success leaves only when what it promises would survive a power cut, on a strict disk."""

import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.announcements import encoded, new_step
from tests.faults import trace
from tests.faults.datasets import IMPLICIT, Instance, new_uid, study_of
from tests.faults.disk import Inode, files, remains, safe_copy
from tests.faults.kernel import Kernel
from tests.faults.powerloss import (
    Verdict,
    judge,
    lost_while_handing_over,
    record,
    record_indexing,
    recovers,
)
from tests.faults.site import Nursery, site
from tests.faults.truth import SpoolReader
from tests.faults.wire import send_all

MPPS = "1.2.840.10008.3.1.2.3.3"
pytestmark = pytest.mark.skipif(not trace.is_allowed(), reason="this machine forbids tracing")


def studies(seed: int) -> list[list[Instance]]:
    rng = random.Random(seed)
    return [study_of(rng, 5), study_of(rng, 4, largest=2_000_000)]


def procedure_step(rng: random.Random) -> Instance:
    """An MPPS: kept as a notice for the orchestrator, and answered for just as an image is."""
    step = new_step(new_uid(rng))
    return Instance(MPPS, new_uid(rng), IMPLICIT, "", encoded(step), operation=0x0140)


def all_of(some: Sequence[Sequence[Instance]]) -> list[Instance]:
    return [one for study in some for one in study]


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> tuple[Verdict, list[Instance]]:
    folder = tmp_path_factory.mktemp("traced")
    sent = [*studies(1), [procedure_step(random.Random(1))]]
    output = record(folder, sent)
    return judge(output, folder / "data", all_of(sent), random.Random(1)), all_of(sent)


def test_every_instance_is_on_the_disk_before_its_success_leaves(
    traced: tuple[Verdict, list[Instance]],
) -> None:
    verdict, sent = traced
    assert sorted(a.sop_instance_uid for a in verdict.answers) == sorted(
        one.sop_instance_uid for one in sent
    )
    assert verdict.unsafe() == []
    assert verdict.matches_disk


@pytest.mark.parametrize("some_more_survives", [False, True])
def test_after_a_power_cut_everything_acknowledged_is_found_again(
    traced: tuple[Verdict, list[Instance]],
    tmp_path: Path,
    nursery: Nursery,
    is_long: bool,
    some_more_survives: bool,
) -> None:
    verdict, sent = traced
    by_uid = {one.sop_instance_uid: one for one in sent}
    steps = range(len(verdict.answers)) if is_long else (2, len(verdict.answers) - 1)
    for step in steps:
        answered = verdict.answers[step]
        left = answered.left_and_some if some_more_survives else answered.left
        answered_for = [by_uid[a.sop_instance_uid] for a in verdict.answers[: step + 1]]
        promised = [one for one in answered_for if one.sop_class_uid != MPPS]
        with site(tmp_path / str(step), nursery=nursery, roles=()) as it:
            finding = recovers(it, left, promised)
            assert not finding, f"after answer {step}"
            assert it.strange_lines() == []


def test_no_power_cut_while_images_are_handed_over_loses_one(
    tmp_path: Path, nursery: Nursery
) -> None:
    sent = all_of(studies(4))
    with site(tmp_path, nursery=nursery, roles=("receive",)) as it:
        assert set(send_all(it.port, sent)) == {0}
        assert not SpoolReader(it.spool).wait_for(sent)
        it.stop("receive")
        before = safe_copy(it.spool)
        output = record_indexing(it, sent)
        cuts, lost = lost_while_handing_over(output, it.spool, before, sent, random.Random(4))
    assert cuts >= 2 * len(sent)
    assert lost == set()


def test_without_durability_the_same_check_is_red(tmp_path: Path) -> None:
    sent = studies(2)[:1]
    output = record(tmp_path, sent, durability="none")
    verdict = judge(output, tmp_path / "data", all_of(sent), random.Random(1))
    assert len(verdict.unsafe()) == len(verdict.unsafe_at_release) == len(sent[0])


def test_with_durability_of_associations_all_is_safe_before_the_release_is_answered(
    tmp_path: Path,
) -> None:
    sent = studies(3)[:1]
    output = record(tmp_path, sent, durability="association")
    verdict = judge(output, tmp_path / "data", all_of(sent), random.Random(1))
    assert len(verdict.answers) == len(sent[0])
    assert verdict.unsafe_at_release == []


# -- the check itself -----------------------------------------------------------------------

STEPS = {
    "write": "os.write(f, b'content')",
    "sync": "os.fsync(f)",
    "link": "os.link(d + '/tmp', d + '/kept')",
    "folder": "os.fsync(os.open(d, os.O_RDONLY))",
}


@pytest.mark.parametrize(
    ("steps", "is_safe"),
    [
        (["write", "sync", "link", "folder"], True),
        (["write", "link", "sync", "folder"], True),
        (["write", "sync", "folder", "link"], False),
        (["sync", "write", "link", "folder"], False),
        (["write", "link", "folder"], False),
        (["write", "sync", "link"], False),
    ],
)
def test_the_check_sees_each_step_that_is_missing_or_late(
    tmp_path: Path, steps: list[str], is_safe: bool
) -> None:
    folder, output = tmp_path / "folder", tmp_path / "trace"
    folder.mkdir()
    lines = [f"import os; d = {str(folder)!r}", "f = os.open(d + '/tmp', os.O_CREAT | os.O_RDWR)"]
    program = "\n".join([*lines, *(STEPS[step] for step in steps), "os.write(1, b'success')"])
    command = trace.command([sys.executable, "-SEc", program], output)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    found: list[dict[str, bytes]] = []

    def sent(message: bytes) -> None:
        if message == b"success":
            found.append(dict(files(kernel.root, safe=True)))

    kernel = Kernel(str(folder), sent)
    trace.replay(output, kernel.begin, kernel.end)
    assert [left.get("kept") == b"content" for left in found] == [is_safe]


def test_what_was_not_synced_may_survive_in_part() -> None:
    root, file = Inode(is_folder=True), Inode(is_folder=False)
    root.name("a", file)
    root.sync(1)
    file.change(("write", 0, b"first "))
    file.sync(1)
    file.change(("write", 6, b"second"))
    assert remains(root) == {"a": b"first "}
    variants = {remains(root, random.Random(seed))["a"] for seed in range(50)}
    assert {b"first ", b"first second", b"first sec"} <= variants


def hexed(text: bytes) -> str:
    return '"' + "".join(f"\\x{byte:02x}" for byte in text) + '"'


def test_a_number_that_another_thread_has_before_its_close_is_seen_to_end_stays_open(
    tmp_path: Path,
) -> None:
    """What strace writes where one thread closes a file while another opens one."""
    file = hexed(str(tmp_path / "kept").encode())
    lines = [
        f"7 openat(AT_FDCWD, {hexed(str(tmp_path / 'other').encode())}, O_RDWR|O_CREAT) = 3",
        "7 clone3({flags=CLONE_FILES|CLONE_THREAD}, 88) = 8",
        f"8 openat(AT_FDCWD, {file}, O_RDWR|O_CREAT <unfinished ...>",
        "7 close(3 <unfinished ...>",
        "8 <... openat resumed>) = 3",
        "7 <... close resumed>) = 0",
        f"8 write(3, {hexed(b'content')}, 7) = 7",
    ]
    output = tmp_path / "trace"
    output.write_text("\n".join(lines) + "\n")
    kernel = Kernel(str(tmp_path), lambda _: None)
    trace.replay(output, kernel.begin, kernel.end)
    assert dict(files(kernel.root, safe=False))["kept"] == b"content"
