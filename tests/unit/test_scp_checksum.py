"""One checksum for what is received, and the earlier one for what has it."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.core.errors import BadInstance
from scp import filemeta
from scp.checksum import Checksum, matches
from scp.integrity import is_sound
from scp.spool import Spool
from tests.older import made_older
from tests.unit.test_scp_spool import NOW, put, sample

DATA = bytes(range(256)) * 20
# The first vector of BLAKE3's own: no bytes.
EMPTY = "blake3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"


def ours(data: bytes) -> str:
    checksum = Checksum()
    checksum.update(data)
    return checksum.text


def earlier(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_it_is_blake3_and_says_so() -> None:
    assert Checksum().text == EMPTY
    assert matches(EMPTY, b"")


def test_bytes_in_pieces_have_the_checksum_of_the_whole() -> None:
    pieces = Checksum()
    for start in range(0, len(DATA), 1000):
        pieces.update(memoryview(DATA)[start : start + 1000])
    assert pieces.text == ours(DATA)


@pytest.mark.parametrize("made", [ours, earlier])
def test_bytes_match_what_was_made_of_them_and_no_others(made: Callable[[bytes], str]) -> None:
    known = made(DATA)
    assert matches(known, memoryview(DATA))
    assert Checksum(like=known).text == made(b"")
    assert not matches(known, DATA[:-1] + b"\0")
    assert not matches(known, DATA[:-1])


def test_the_digits_of_one_kind_are_none_of_the_other() -> None:
    assert not matches("blake3:" + earlier(DATA), DATA)
    assert not matches(ours(DATA).removeprefix("blake3:"), DATA)


@pytest.mark.parametrize("known", ["blake9:" + "0" * 64, ":", "BLAKE3:" + "0" * 64])
def test_a_checksum_of_another_kind_is_refused(known: str) -> None:
    with pytest.raises(BadInstance, match="does not know"):
        matches(known, DATA)


def test_a_file_of_an_earlier_version_is_read_as_it_was(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    data, provenance = sample()
    name, _ = put(spool, data, provenance)
    path = spool.path(made_older(spool, name).spool_name)

    found, start = filemeta.decode(path.read_bytes())

    assert found == filemeta.completed(provenance, received_at=NOW, checksum=earlier(data))
    assert path.read_bytes()[start:] == data
    assert b'"sha256"' in path.read_bytes()[:start]
    assert b"checksum" not in path.read_bytes()[:start]


@pytest.mark.parametrize("is_older", [False, True])
def test_a_changed_byte_is_seen_whatever_made_the_checksum(tmp_path: Path, is_older: bool) -> None:
    spool = Spool(tmp_path)
    name, _ = put(spool, *sample())
    instance = made_older(spool, name) if is_older else spool.read(name)
    path = spool.path(instance.spool_name)
    assert is_sound(path, instance.checksum)

    path.write_bytes(path.read_bytes()[:-1] + b"\x55")

    assert not is_sound(path, instance.checksum)
