"""Comparing passwords."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from feedback.passwords import AT_ONCE, PasswordCheck


def test_strangers_who_try_at_once_cannot_take_all_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check = PasswordCheck()
    guard, pause = threading.Lock(), threading.Event()
    running: list[int] = []
    seen: list[int] = []

    def verify(_self: PasswordHasher, _hash: str, _password: str) -> bool:
        with guard:
            running.append(1)
            seen.append(len(running))
        pause.wait(0.05)  # long enough that all would be in here together
        with guard:
            running.pop()
        raise VerifyMismatchError

    monkeypatch.setattr(PasswordHasher, "verify", verify)
    with ThreadPoolExecutor(20) as threads:
        assert not any(threads.map(lambda _: check.holds("any", "wrong"), range(20)))
    assert len(seen) == 20
    assert max(seen) <= AT_ONCE
