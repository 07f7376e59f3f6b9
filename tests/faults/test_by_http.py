"""The corpus by STOW-RS, and bodies that unfold: the same answers as by C-STORE."""

import struct
import time
import zlib
from dataclasses import replace
from pathlib import Path

from scp.contexts import TRANSFER_SYNTAXES
from tests.dicom.test_stow import Server, body_of, serving
from tests.faults import corpus_data
from tests.faults.datasets import Instance, encode, padded
from tests.faults.truth import SpoolReader

DEFLATED = [row.uid for row in TRANSFER_SYNTAXES if not row.stored]
TAKEN, REFUSED = (200, 202), (400, 409)


def part_10(instance: Instance) -> bytes:
    """Return the instance as a file, with the meta group that a sender would write."""
    meta = b"".join(
        encode(0x00020000 | number, "UI", padded("UI", value.encode("latin-1")))
        for number, value in (
            (2, instance.sop_class_uid),
            (3, instance.sop_instance_uid),
            (16, instance.transfer_syntax_uid),
        )
    )
    head = struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(meta))
    return bytes(128) + b"DICM" + head + meta + instance.data


def status(server: Server, *instances: Instance) -> int:
    return int(server.post(body_of(*map(part_10, instances))).status_code)


def test_the_data_sets_of_the_corpus_are_answered_and_kept_as_by_c_store(tmp_path: Path) -> None:
    kept = []
    with serving(tmp_path) as server:
        for attack in corpus_data.all_attacks():
            assert attack.instance is not None
            answer = status(server, attack.instance)
            assert answer in (*TAKEN, *REFUSED), attack.name
            if answer in TAKEN:
                kept.append(attack.instance)
            if not any(pattern.endswith("0000") for pattern in attack.expects):
                assert answer in REFUSED, attack.name
        assert not SpoolReader(server.spool.root).wait_for(kept)
        assert server.leftovers() == []
    assert not [path for path in tmp_path.rglob("*") if "escaped" in path.name]


def test_what_unfolds_when_it_is_read_is_refused_unread(tmp_path: Path) -> None:
    good = corpus_data.Maker(3).good(size=64)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = packer.compress(good.data + encode(0x7FE10010, "OB", bytes(200_000_000)))
    bomb += packer.flush()
    assert len(bomb) < 300_000
    with serving(tmp_path) as server:
        began = time.monotonic()
        for syntax in DEFLATED:
            unfolding = replace(good, transfer_syntax_uid=syntax, data=bomb)
            assert status(server, unfolding) in REFUSED
        packed = body_of(part_10(good))
        answer = server.post(zlib.compress(packed), **{"Content-Encoding": "deflate"})
        assert answer.status_code == 415
        assert time.monotonic() - began < 5  # nobody unfolded anything
        assert server.spool.new_entries() == ()
        assert status(server, good) == 200
