"""The receiver's tables say what the standard says."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.pixels import get_decoder
from pydicom.uid import UID_dictionary
from pynetdicom.status import STORAGE_SERVICE_CLASS_STATUS, code_to_category

from scp.association import REJECTIONS, Caller, Lobby, Refusal, is_within
from scp.command import ProtocolViolation, parse
from scp.contexts import (
    STORAGE_CLASSES,
    STORED,
    TRANSFER_SYNTAXES,
    VERIFICATION,
    is_storage_class,
    supported,
)
from scp.options import AllowedPeer, ReceiverOptions
from scp.seats import Seats
from scp.status import STATUSES, Outcome


def test_every_outcome_has_one_status_that_the_standard_knows() -> None:
    assert set(STATUSES) == set(Outcome)
    for status in STATUSES.values():
        assert status.code == 0x0110 or status.code in STORAGE_SERVICE_CLASS_STATUS
        assert len(status.comment) <= 64
        assert status.comment.isascii()
        assert (code_to_category(status.code) == "Success") == (status.code == 0)


def test_every_refusal_has_a_rejection_that_the_standard_knows() -> None:
    allowed = {1: {1, 2, 3, 7}, 2: {1, 2}, 3: {1, 2}}  # PS3.8 table 9-21
    assert set(REJECTIONS) == set(Refusal)
    for rejection in REJECTIONS.values():
        assert rejection.result in (1, 2)
        assert rejection.reason in allowed[rejection.source]


def test_the_table_has_every_transfer_syntax_once_and_none_that_deflates_is_stored() -> None:
    uids = [row.uid for row in TRANSFER_SYNTAXES]
    assert len(set(uids)) == len(uids)
    for row in TRANSFER_SYNTAXES:
        assert "Deflate" not in row.name or not row.stored
    known = {uid for uid, entry in UID_dictionary.items() if entry[1] == "Transfer Syntax"}
    assert set(uids) <= known
    missing = {uid: UID_dictionary[uid] for uid in known - set(uids)}
    # What is left is retired, not for storage (SMPTE, MIME, XML), or another application's.
    allowed = ("1.2.840.10008.1.2.7.", "1.2.840.10008.1.2.6.", "1.2.840.10008.1.20")
    for uid, entry in missing.items():
        assert entry[3] == "Retired" or uid.startswith(allowed), entry


def test_the_decoded_column_is_what_the_installed_decoders_do() -> None:
    for row in TRANSFER_SYNTAXES:
        try:
            available = get_decoder(row.uid).is_available
        except NotImplementedError:
            available = False
        if row.stored:
            assert row.decoded == available, row.name
        else:
            assert not row.decoded


def test_every_current_storage_class_of_the_standard_is_accepted() -> None:
    for uid, (name, kind, _, retired, _) in UID_dictionary.items():
        if kind == "SOP Class" and uid.startswith("1.2.840.10008.5.1.4.1.1."):
            assert is_storage_class(uid) == (
                name.endswith(("Storage", "Trial"))
                or "Storage" in name
                or (retired == "Retired" and not name)
            ), (uid, name)
    assert len(STORAGE_CLASSES) > 128  # an acceptor is not bound by the requestor's limit


def test_what_is_no_storage_class_is_not_supported() -> None:
    find = "1.2.840.10008.5.1.4.1.2.2.1"
    private = "1.2.3.4"
    assert [str(c.abstract_syntax) for c in supported([find, VERIFICATION], private=True)] == [
        VERIFICATION
    ]
    assert supported([private], private=False) == []
    (context,) = supported([private, private], private=True)
    assert tuple(context.transfer_syntax) == STORED


@pytest.mark.parametrize(
    ("address", "networks", "expected"),
    [
        ("10.1.2.3", ("10.1.2.0/24",), True),
        ("10.1.3.3", ("10.1.2.0/24",), False),
        ("10.1.2.3", ("10.1.2.3",), True),
        ("::ffff:10.1.2.3", ("10.1.2.0/24",), True),
        ("fe80::1%eth0", ("fe80::/10",), True),
        ("10.1.2.3", (), False),
    ],
)
def test_an_address_is_compared_with_networks(
    address: str, networks: tuple[str, ...], *, expected: bool
) -> None:
    assert is_within(address, networks) is expected


def test_the_lobby_counts_who_is_in_and_admits_nobody_when_closed(tmp_path: Path) -> None:
    peer = AllowedPeer(ae_title="MR", networks=("127.0.0.1",), accept_private_storage=False)
    other = AllowedPeer(ae_title="CT", networks=("127.0.0.2",))
    lobby = Lobby(
        ReceiverOptions(
            ae_title="US",
            host="",
            port=0,
            peers=(peer, other),
            max_associations=2,
            max_associations_per_peer=1,
        ),
        Seats(tmp_path / "seats", 2),
    )
    mr = Caller(calling_ae_title="MR", called_ae_title="US", address="127.0.0.1")
    ct = Caller(calling_ae_title="CT", called_ae_title="US", address="127.0.0.2")

    first = lobby.enter(mr)
    assert (first.refusal, first.accept_private_storage) == (None, False)
    assert lobby.enter(mr).refusal is Refusal.PEER_LIMIT
    assert lobby.enter(ct).refusal is None
    assert lobby.enter(ct).refusal is Refusal.LIMIT
    lobby.leave(first.seat)
    assert lobby.enter(mr).refusal is None
    lobby.close()
    assert lobby.enter(mr).refusal is Refusal.STOPPING


@given(st.binary(max_size=300))
def test_no_command_set_raises_anything_but_a_violation(data: bytes) -> None:
    try:
        parse(data)
    except ProtocolViolation:
        return
