"""Attacks before and on the association: garbage, lying lengths, wrong order. PS3.8 section 9.3."""

import random
import struct
from collections.abc import Iterator

from tests.faults.corpus import ANSWERED, ENDED, USUAL, Attack
from tests.faults.datasets import EXPLICIT, IMPLICIT, MR_IMAGE
from tests.faults.wire import (
    ABORT,
    APPLICATION_CONTEXT,
    ASSOCIATE_AC,
    ASSOCIATE_RJ,
    ASSOCIATE_RQ,
    P_DATA,
    RELEASE_RP,
    RELEASE_RQ,
    VERIFICATION,
    associate_body,
    associate_rq,
    command_pdu,
    context_item,
    echo_command,
    item,
    pdu,
    user_information,
)

DEFLATED = "1.2.840.10008.1.2.1.99"
HTTP = (
    b"GET / HTTP/1.1\r\nHost: appliance\r\n\r\n",
    b"POST /studies HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n" + b"A" * 5000,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    b"OPTIONS * RTSP/1.0\r\n\r\n",
)
CLIENT_HELLO = bytes.fromhex("1603010080010000 7c0303".replace(" ", "")) + bytes(122)
OTHERS = {
    "TLS hello": CLIENT_HELLO,
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "HL7 over MLLP": b"\x0bMSH|^~\\&|A|B|C|D|20260101||ADT^A01|1|P|2.5\r\x1c\r",
    "SMB": b"\0\0\0\x54\xffSMBr" + bytes(80),
    "RDP": bytes.fromhex("030000130ee000000000000100080003000000"),
    "SQL": b"\x03\0\0\0\x03' OR 1=1; DROP TABLE instance; --",
    "shell": b"; rm -rf / #\n$(reboot)\n`id`\n",
    "lines": b"\r\n" * 500,
}


def raw() -> Iterator[Attack]:
    """Whatever else a port scanner, a browser or a printer sends."""
    for number, text in enumerate(HTTP):
        yield Attack(f"HTTP {number}", ENDED, (text,))
    for name, text in OTHERS.items():
        yield Attack(name, ENDED, (text,))
    for seed in range(30):
        rng = random.Random(seed)
        yield Attack(
            f"random bytes on the port {seed}", ENDED, (rng.randbytes(rng.randrange(1, 3000)),)
        )
    for value in (0, 0x41, 0xFF):
        for size in (1, 6, 100, 70_000):
            yield Attack(f"{size} bytes of {value:02X}", ENDED, (bytes([value]) * size,))
    yield Attack("nothing, then half closed", ENDED, (), closes=True)
    yield Attack("nothing", ENDED, ())
    for kind in (0, 8, 9, 16, 31, 64, 127, 128, 200, 255):
        yield Attack(f"PDU type {kind}", ENDED, (pdu(kind, bytes(4)),))


def lengths() -> Iterator[Attack]:
    """First PDUs whose header lies about their length."""
    whole = associate_body(USUAL)
    for length in (0, 1, 4, 67, 68, 69, 72, 73):
        expects = ENDED if length < 68 else ("ended", "rejected*")
        yield Attack(f"A-ASSOCIATE-RQ of {length} bytes", expects, (pdu(1, whole[:length]),))
    for length in (2**20 + 100, 2**24, 2**31 - 1, 2**31, 2**32 - 1):
        for kind in (ASSOCIATE_RQ, P_DATA):
            yield Attack(
                f"PDU {kind} that says {length} bytes", ENDED, (pdu(kind, whole, length=length),)
            )
    for less in (1, 2, 10, 100):
        said = len(whole) - less
        yield Attack(f"RQ that says {less} less", ANSWERED, (pdu(1, whole, length=said),))
        yield Attack(f"RQ that says {less} more", ENDED, (pdu(1, whole, length=len(whole) + less),))
    for end in range(74, len(whole), 11):
        yield Attack(f"RQ cut at {end}", ANSWERED, (pdu(1, whole[:end]),))
        yield Attack(f"RQ cut at {end}, closed", ENDED, (pdu(1, whole)[: end + 6],), closes=True)


def lying_items() -> Iterator[Attack]:
    """Items of the A-ASSOCIATE-RQ whose length is not what follows."""
    for name, kind, body in _ITEMS:
        for lie in (0, 1, len(body) - 1, len(body) + 1, 255, 0xFFFF):
            if lie == len(body):
                continue
            bad = item(kind, body, length=lie)
            items = _around(kind, bad)
            yield Attack(
                f"{name} item of {len(body)} bytes that says {lie}",
                ANSWERED,
                (pdu(1, associate_body((), items=items)),),
            )


_NESTED = item(0x30, MR_IMAGE.encode()) + item(0x40, EXPLICIT.encode())
_ITEMS: tuple[tuple[str, int, bytes], ...] = (
    ("application context", 0x10, APPLICATION_CONTEXT.encode()),
    ("presentation context", 0x20, bytes((1, 0, 0, 0)) + _NESTED),
    ("abstract syntax", 0x30, MR_IMAGE.encode()),
    ("transfer syntax", 0x40, EXPLICIT.encode()),
    ("user information", 0x50, item(0x51, struct.pack(">I", 16384))),
    ("maximum length", 0x51, struct.pack(">I", 16384)),
    ("implementation class", 0x52, b"2.25.1"),
    ("asynchronous operations", 0x53, struct.pack(">HH", 2, 2)),
    ("role selection", 0x54, struct.pack(">H", 25) + MR_IMAGE.encode() + b"\1\1"),
    ("implementation version", 0x55, b"RAW"),
    ("extended negotiation", 0x56, struct.pack(">H", 25) + MR_IMAGE.encode() + b"\2\0\0"),
    ("common extended negotiation", 0x57, struct.pack(">H", 25) + MR_IMAGE.encode() + b"\0\0"),
    ("user identity", 0x58, b"\2\1\0\4user\0\4pass"),
)


def _around(kind: int, bad: bytes) -> bytes:
    """Return the items of a whole A-ASSOCIATE-RQ with the bad one in its place."""
    application = item(0x10, APPLICATION_CONTEXT.encode())
    context = context_item(1, MR_IMAGE, (EXPLICIT,))
    if kind == 0x10:
        return bad + context + user_information()
    if kind == 0x20:
        return application + bad + user_information()
    if kind == 0x30:
        inner = bytes((1, 0, 0, 0)) + bad + item(0x40, EXPLICIT.encode())
        return application + item(0x20, inner) + user_information()
    if kind == 0x40:
        inner = bytes((1, 0, 0, 0)) + item(0x30, MR_IMAGE.encode()) + bad
        return application + item(0x20, inner) + user_information()
    if kind == 0x50:
        return application + context + bad
    return application + context + item(0x50, bad)


def _rq(name: str, *expects: str, contexts=USUAL, items=None, **changes) -> Attack:
    body = associate_body(contexts, items=items, **changes)
    return Attack(name, expects, (pdu(ASSOCIATE_RQ, body),))


def callers() -> Iterator[Attack]:
    """Who calls, and whom."""
    yield _rq("a called title that is not ours", "rejected 1/1/7", called="SOMEBODY")
    yield _rq("a called title of spaces", "rejected 1/1/7", "ended", called="")
    yield _rq("a calling title that nobody knows", "rejected 1/1/3", calling="STRANGER")
    for name in ("", "\0" * 16, "A\\B", "../../../etc", "A\nB", "%s%n", "\xe9\xe8", "<script>"):
        yield _rq(f"calling title {name!r}", "rejected 1/1/3", "ended", calling=name)
        yield _rq(f"called title {name!r}", "rejected 1/1/7", "ended", called=name)
    for version in (0, 2, 0x8000):
        yield _rq(f"protocol version {version}", "rejected 1/2/2", "ended", version=version)
    for version in (3, 0xFFFF):  # bit 0 alone is tested: PS3.8 section 9.3.2
        yield _rq(f"protocol version {version}", "accepted 1:0 3:0", version=version)


def syntaxes() -> Iterator[Attack]:
    """Presentation contexts that are many, few, twice or no UIDs."""
    yield _rq("no contexts", *ANSWERED, contexts=())
    yield _rq("a context without transfer syntaxes", *ANSWERED, contexts=((1, MR_IMAGE, ()),))
    yield _rq(
        "an unknown abstract syntax",
        "accepted 1:3",
        contexts=((1, "1.2.840.10008.9", (EXPLICIT,)),),
    )
    yield _rq("deflated alone", "accepted 1:4", contexts=((1, MR_IMAGE, (DEFLATED,)),))
    yield _rq("C-FIND", "accepted 1:3", contexts=((1, "1.2.840.10008.5.1.4.1.2.2.1", (IMPLICIT,)),))
    for number in (0, 2, 254):
        yield _rq(f"context ID {number}", *ANSWERED, contexts=((number, MR_IMAGE, (EXPLICIT,)),))
    twice = ((1, MR_IMAGE, (EXPLICIT,)), (1, VERIFICATION, (IMPLICIT,)))
    yield _rq("one context ID twice", *ANSWERED, contexts=twice)
    same = tuple((1, MR_IMAGE, (EXPLICIT,)) for _ in range(100))
    yield _rq("one context ID a hundred times", *ANSWERED, contexts=same)
    most = tuple((2 * n + 1, MR_IMAGE, (EXPLICIT,)) for n in range(128))
    yield _rq("128 contexts", "accepted*", contexts=most)
    over = tuple((n % 256, MR_IMAGE, (EXPLICIT, IMPLICIT)) for n in range(400))
    yield _rq("400 contexts", *ANSWERED, contexts=over)
    many = tuple((2 * n + 1, MR_IMAGE, (EXPLICIT,) * 100) for n in range(100))
    yield _rq("10,000 transfer syntaxes", *ANSWERED, contexts=many)
    for uid in _NO_UIDS:
        yield _rq(f"abstract syntax {uid[:30]!r}", *ANSWERED, contexts=((1, uid, (EXPLICIT,)),))
        yield _rq(f"transfer syntax {uid[:30]!r}", *ANSWERED, contexts=((1, MR_IMAGE, (uid,)),))


_NO_UIDS = (
    "",
    ".",
    "..",
    "../../../etc/passwd",
    "1.2.3/../../x",
    "1.2.840.10008.5.1.4.1.1.4\0\0\0x",
    "1." * 32 + "1",
    "1" * 65,
    "9" * 5000,
    "a.b.c",
    "1.2.840.10008.5.1.4.1.1.4 ",
    "\xff\xfe",
)


def information() -> Iterator[Attack]:
    """User information and items that are missing, twice or unknown."""
    application = item(0x10, APPLICATION_CONTEXT.encode())
    context = context_item(1, MR_IMAGE, (EXPLICIT,))
    user = user_information()
    wrong = item(0x10, b"1.2.840.10008.3.1.1.2")
    yield _rq("another application context", "rejected 1/1/2", items=wrong + context + user)
    for name, items in {
        "no application context": context + user,
        "no user information": application + context,
        "two user informations": application + context + user + user,
        "two application contexts": application + application + context + user,
        "an unknown item": application + item(0x99, bytes(50)) + context + user,
        "an unknown sub-item": application + context + user_information(more=item(0x99, bytes(9))),
        "no items": b"",
        "items in the wrong order": user + context + application,
        "16,000 empty items": application + item(0x21, b"") * 16_000,
        "16,000 empty transfer syntaxes": application
        + item(0x20, bytes((1, 0, 0, 0)) + item(0x40, b"") * 16_000)
        + user,
        "100 user identities": application
        + context
        + user_information(more=item(0x58, b"\1\0\0\1a\0\0") * 100),
    }.items():
        yield _rq(name, *ANSWERED, items=items)
    for longest in (0, 1, 6, 7, 12, 2**32 - 1):
        items = application + context_item(1, VERIFICATION, (IMPLICIT,))
        items += user_information(longest=longest)
        rq = pdu(ASSOCIATE_RQ, associate_body((), items=items))
        yield Attack(f"a longest PDU of {longest}", ANSWERED, (rq,))


def order() -> Iterator[Attack]:
    """PDUs at a time that is not theirs."""
    rq = associate_rq(USUAL)
    for name, first in {
        "P-DATA": command_pdu(1, echo_command()),
        "A-ASSOCIATE-AC": pdu(ASSOCIATE_AC, associate_body(USUAL)),
        "A-ASSOCIATE-RJ": pdu(ASSOCIATE_RJ, b"\0\1\1\1"),
        "A-RELEASE-RQ": pdu(RELEASE_RQ, bytes(4)),
        "A-RELEASE-RP": pdu(RELEASE_RP, bytes(4)),
        "A-ABORT": pdu(ABORT, bytes(4)),
    }.items():
        yield Attack(f"{name} before an association", ENDED, (first,))
        yield Attack(f"{name} before an association, then RQ", ENDED, (first, rq))
        if first[0] not in (P_DATA, RELEASE_RQ):
            yield Attack(f"{name} in an association", ENDED, (first,), USUAL)
    yield Attack("a second A-ASSOCIATE-RQ", ENDED, (rq,), USUAL)
    yield Attack("A-RELEASE-RQ of no bytes", ("ended", "released"), (pdu(5, b""),), USUAL)
    yield Attack("A-RELEASE-RQ of 8 bytes", ("ended", "released"), (pdu(5, bytes(8)),), USUAL)
    yield Attack("A-RELEASE-RQ of 4 GiB", ENDED, (pdu(5, bytes(4), length=2**32 - 1),), USUAL)
    yield Attack("A-ABORT of 4 GiB", ENDED, (pdu(7, bytes(4), length=2**32 - 1),), USUAL)
    yield Attack("A-ABORT of no bytes", ENDED, (pdu(7, b""),), USUAL)
    for kind in (0, 8, 71, 255):
        yield Attack(f"PDU type {kind} in an association", ENDED, (pdu(kind, bytes(9)),), USUAL)
    released = pdu(RELEASE_RQ, bytes(4))
    yield Attack(
        "release, then data",
        ("ended", "released"),
        (released, command_pdu(1, echo_command())),
        USUAL,
    )


def all_attacks() -> Iterator[Attack]:
    """Yield the attacks of this kind."""
    for kind in (raw, lengths, lying_items, callers, syntaxes, information, order):
        yield from kind()
