"""A multipart body comes out as it went in, however it is cut, and never without bounds."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scp.multipart import MalformedBody, MultipartReader


class Parts:
    """Keeps what comes."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[Mapping[str, str]] = []
        self.ended = 0
        self.reader = MultipartReader("xA", self._begin, most_parts=5)

    def _begin(self, headers: Mapping[str, str]) -> "Parts":
        self.headers.append(headers)
        self.bodies.append(b"")
        return self

    def write(self, piece: bytes) -> None:
        self.bodies[-1] += piece

    def end(self) -> None:
        self.ended += 1


# Letters of which boundaries and line ends are made, so that nearly-boundaries are common.
BODY = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"-", b"x", b"A", b"\r\n--x", b"other"]))


@given(
    bodies=st.lists(BODY.map(b"".join), min_size=1, max_size=5),
    cuts=st.lists(st.integers(1, 40), min_size=1),
    preamble=st.sampled_from([b"", b"\r\n", b"before\r\n"]),
)
def test_bodies_come_out_whole_however_they_are_cut(
    bodies: list[bytes], cuts: list[int], preamble: bytes
) -> None:
    bodies = [body for body in bodies if b"\r\n--xA" not in b"\r\n" + body] or [b""]
    parts = b"".join(b"--xA \t\r\nOne: 1\r\nTwo: 2\r\n\r\n" + body + b"\r\n" for body in bodies)
    raw, came, number = preamble + parts + b"--xA--\r\nafter", Parts(), 0
    while raw:
        size = cuts[number % len(cuts)]
        came.reader.feed(raw[:size])
        raw, number = raw[size:], number + 1
    came.reader.end()
    assert came.bodies == bodies
    assert came.ended == len(bodies)
    assert came.headers[0] == {"one": "1", "two": "2"}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"x" * 70_000, "no boundary"),
        (b"--xA\r\n" + b"A: 1\r\n" * 10_000, "bytes of headers"),
        (b"--xA\r\n" + b"A: 1\r\n" * 65 + b"\r\n", "more than 64 headers"),
        (b"--xA\r\nno header\r\n\r\n", "no header"),
        (b"--xAnother\r\n", "something else"),
        (b"--xA" + b" " * 300, "something else"),
        (b"--xA\r\n\r\nx\r\n" * 6, "too many parts"),
    ],
)
def test_what_has_no_end_is_refused_before_it_is_held(body: bytes, why: str) -> None:
    reader = Parts().reader
    with pytest.raises(MalformedBody, match=why):
        for start in range(0, len(body), 1000):
            reader.feed(body[start : start + 1000])


def test_a_body_that_ends_too_early_is_malformed() -> None:
    came = Parts()
    came.reader.feed(b"--xA\r\n\r\nhalf")
    with pytest.raises(MalformedBody, match="ends before"):
        came.reader.end()
    assert came.ended == 0
