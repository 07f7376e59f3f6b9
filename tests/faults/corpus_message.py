"""Attacks on messages: PDVs, command sets, and operations that nobody offers. PS3.8 E, PS3.7 9."""

import struct
from collections.abc import Iterator

from tests.faults.corpus import ENDED, USUAL, Attack
from tests.faults.datasets import MR_IMAGE, Instance
from tests.faults.wire import (
    P_DATA,
    RELEASE_RQ,
    VERIFICATION,
    command_pdu,
    command_set,
    echo_command,
    element,
    number,
    pdu,
    pdv,
    store_command,
    uid_value,
)

REFUSED = ("ended", "status 0211", "status 0122", "status 0212", "status 0110")
STORE = store_command(MR_IMAGE, "1.2.3")
ECHO = command_pdu(1, echo_command())


def _in(name: str, expects: tuple[str, ...], *send: bytes, closes: bool = False) -> Attack:
    return Attack(name, expects, send, USUAL, closes=closes)


def values(good: Instance) -> Iterator[Attack]:
    """Presentation data values that lie or come at the wrong time."""
    command = echo_command()
    for length in (0, 1):
        yield _in(f"a PDV of {length} bytes", ENDED, pdu(P_DATA, struct.pack(">I", length) + b"\1"))
    for length in (len(command) + 3, 2**16, 2**31, 2**32 - 1):
        bad = pdu(P_DATA, pdv(1, 3, command, length=length))
        yield _in(f"a PDV that says {length} bytes", ENDED, bad)
    yield _in("no PDV", ("ended", "status 0000"), pdu(P_DATA, b""), ECHO)
    for size in (1, 2, 3, 4, 5):
        yield _in(f"a P-DATA of {size} bytes", ENDED, pdu(P_DATA, b"\0\0\0\1\1"[:size]))
    yield _in("a second PDV that is cut", ENDED, pdu(P_DATA, pdv(1, 1, b"") + b"\0\0\0"))
    for context in (0, 2, 5, 255):
        yield _in(f"context {context}, never proposed", ENDED, command_pdu(context, STORE))
    yield Attack(
        "a context that was rejected",
        ENDED,
        (command_pdu(1, store_command("1.2.840.10008.9", "1.2.3")),),
        ((1, "1.2.840.10008.9", ("1.2.840.10008.1.2",)), *USUAL[1:]),
    )
    data = pdu(P_DATA, pdv(3, 2, good.data[:500]))
    yield _in("data that no command announced", ENDED, data)
    yield _in("data in another context", ENDED, command_pdu(3, STORE), pdu(P_DATA, pdv(1, 2, b"")))
    yield _in("a command inside a data set", ENDED, command_pdu(3, STORE), command_pdu(3, STORE))
    part = pdu(P_DATA, pdv(3, 0, good.data[:500]))
    yield _in("a command after half a data set", ENDED, command_pdu(3, STORE), part, ECHO)
    yield _in(
        "release in mid message",
        ("ended", "released"),
        command_pdu(3, STORE),
        part,
        pdu(RELEASE_RQ, bytes(4)),
    )
    yield _in(
        "release for a data set",
        ("ended", "released"),
        command_pdu(3, STORE),
        pdu(RELEASE_RQ, bytes(4)),
    )
    yield _in("closed in mid message", ENDED, command_pdu(3, STORE), part, closes=True)
    yield _in("silence in mid message", ENDED, command_pdu(3, STORE), part)
    yield _in("silence in mid PDU", ENDED, command_pdu(3, STORE), part[:100])
    yield _in("silence in a PDU's header", ENDED, b"\4\0\0")
    yield _in("silence for a command", ENDED, pdu(P_DATA, pdv(1, 1, command[:20])))
    yield _in(
        "reserved bits of the control header",
        ("ended", "status 0000"),
        pdu(P_DATA, pdv(1, 0xFF, command)),
    )
    yield _in("a PDU of 2 MiB", ENDED, command_pdu(3, STORE), pdu(P_DATA, pdv(3, 0, bytes(2**21))))
    yield _in("a PDU of 4 GiB", ENDED, pdu(P_DATA, pdv(3, 0, bytes(9)), length=2**32 - 1))
    split = [pdu(P_DATA, pdv(1, 1, command[n : n + 1])) for n in range(len(command))]
    yield _in("a command byte by byte", ("status 0000",), *split, pdu(P_DATA, pdv(1, 3, b"")))
    packed = pdu(
        P_DATA,
        b"".join(pdv(1, 1, command[n : n + 1]) for n in range(len(command))) + pdv(1, 3, b""),
    )
    yield _in("a command in many PDVs of one PDU", ("status 0000",), packed)


def endless() -> Iterator[Attack]:
    """Messages that never end."""
    command = tuple(pdu(P_DATA, pdv(1, 1, bytes(8000))) for _ in range(40))
    yield _in("an endless command", ENDED, *command)
    empty = tuple(pdu(P_DATA, pdv(1, 1, b"")) for _ in range(3000))
    yield _in("3,000 empty fragments of a command", ("ended", "status 0000"), *empty, ECHO)
    nothing = tuple(pdu(P_DATA, pdv(3, 0, b"")) for _ in range(3000))
    yield _in(
        "3,000 empty fragments of a data set", ENDED, command_pdu(3, STORE), *nothing, closes=True
    )
    data = tuple(pdu(P_DATA, pdv(3, 0, bytes(100_000))) for _ in range(120))
    yield _in("a data set above the limit", ENDED, command_pdu(3, STORE), *data)
    echoes = tuple(command_pdu(1, echo_command(n)) for n in range(1, 500))
    yield _in("500 requests without waiting", ("ended", "status 0000"), *echoes)


def _command(name: str, expects: tuple[str, ...], *elements: bytes, context: int = 3) -> Attack:
    return _in(name, expects, command_pdu(context, command_set(*elements)), closes=True)


_MANDATORY = {
    "Affected SOP Class UID": element(0x0002, uid_value(MR_IMAGE)),
    "Command Field": element(0x0100, number(1)),
    "Message ID": element(0x0110, number(7)),
    "Priority": element(0x0700, number(2)),
    "Command Data Set Type": element(0x0800, number(0x0101)),
    "Affected SOP Instance UID": element(0x1000, uid_value("1.2.3")),
}
_FITS = (
    *ENDED,
    "status C1*",
    "status A9*",
    "status 0117",
    "status 0118",
    "status 0212",
    "status 0115",
)


def commands() -> Iterator[Attack]:
    """Command sets that are cut, twice, of other groups, or lack what each has."""
    for name in _MANDATORY:
        rest = [value for key, value in _MANDATORY.items() if key != name]
        yield _command(f"a C-STORE without {name}", _FITS, *rest)
    everything = tuple(_MANDATORY.values())
    yield _in(
        "a C-STORE without a data set", ("status C102",), command_pdu(3, command_set(*everything))
    )
    for name in ("Command Field", "Message ID", "Command Data Set Type"):
        tag = {"Command Field": 0x0100, "Message ID": 0x0110}.get(name, 0x0800)
        for value in (b"", b"\1", b"\1\0\0", b"\1\0\0\0", bytes(100)):
            others = [v for key, v in _MANDATORY.items() if key != name]
            yield _command(f"{name} of {len(value)} bytes", ENDED, *others, element(tag, value))
    for group in (0x0002, 0x0008, 0x7FE0):
        bad = element(0x0010, b"1.2.3\0", group=group)
        yield _command(f"group {group:04X} in a command", ENDED, *everything, bad)
    for length in (5, 2**16, 2**31, 2**32 - 1):
        bad = element(0x1000, b"1.2.", length=length)
        yield _command(f"a command element that says {length}", ENDED, *everything[:5], bad)
    whole = store_command(MR_IMAGE, "1.2.3")
    for end in (1, 4, 7, 8, 11, 13, 20, 60, len(whole) - 1):
        yield _in(f"a command cut at {end}", ENDED, command_pdu(3, whole[:end]))
    yield _in("a command of no bytes", ENDED, command_pdu(3, b""))
    for length in (0, 1, 2**32 - 1):
        wrong = element(0, struct.pack("<I", length)) + echo_command()[12:]
        yield _in(
            f"a command whose group length is {length}",
            ("ended", "status 0000"),
            command_pdu(1, wrong),
        )
    without = echo_command()[12:]
    yield _in("no group length", ("ended", "status 0000"), command_pdu(1, without))
    twice = echo_command() + element(0x0110, number(9))
    yield _in("a Message ID twice", ("ended", "status 0000"), command_pdu(1, twice))
    many = echo_command() + b"".join(element(0x9000 + n % 999, b"") for n in range(7000))
    yield _in("7,000 elements in a command", ("ended", "status 0000"), command_pdu(1, many))


def operations() -> Iterator[Attack]:
    """Operations that are not offered on the context, and answers that nobody asked for."""
    named = {
        0x0010: "C-GET-RQ", 0x0020: "C-FIND-RQ", 0x0021: "C-MOVE-RQ",
        0x0100: "N-EVENT-REPORT-RQ", 0x0110: "N-GET-RQ", 0x0120: "N-SET-RQ", 0x0130: "N-ACTION-RQ",
        0x0140: "N-CREATE-RQ", 0x0150: "N-DELETE-RQ", 0x8001: "C-STORE-RSP", 0x8030: "C-ECHO-RSP",
        0x8020: "C-FIND-RSP", 0x0000: "field 0000", 0x7777: "field 7777", 0xFFFF: "field FFFF",
    }  # fmt: skip
    for field, name in named.items():
        for context in (1, 3):
            elements = (
                element(0x0002, uid_value(VERIFICATION if context == 1 else MR_IMAGE)),
                element(0x0100, number(field)),
                element(0x0110, number(1)),
                element(0x0800, number(0x0101)),
                element(0x1000, uid_value("1.2.3")),
            )
            expects = (*REFUSED, "status 0000") if field == 0x8030 else REFUSED
            yield _command(f"{name} on context {context}", expects, *elements, context=context)
    cancel = command_set(
        element(0x0100, number(0x0FFF)), element(0x0120, number(1)), element(0x0800, number(0x0101))
    )
    yield _in(
        "C-CANCEL of nothing, then C-ECHO", ("ended", "status 0000"), command_pdu(1, cancel), ECHO
    )
    yield _in("C-ECHO with a data set", ("ended", "status 0000", "status 0212"),
              command_pdu(1, echo_command().replace(b"\1\1", b"\1\0")), closes=True)  # fmt: skip
    yield _in("C-ECHO on a storage context", ("ended", "status 0000", "status 0122", "status 0211"),
              command_pdu(3, echo_command()))  # fmt: skip
    yield _in("C-STORE on the verification context", (*REFUSED, "status C1*", "status A9*"),
              command_pdu(1, STORE), pdu(P_DATA, pdv(1, 2, bytes(100))))  # fmt: skip


def all_attacks(good: Instance) -> Iterator[Attack]:
    """Yield the attacks of this kind; `good` lends its bytes to half data sets."""
    yield from values(good)
    yield from endless()
    yield from commands()
    yield from operations()
