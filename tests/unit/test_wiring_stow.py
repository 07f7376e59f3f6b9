"""Who may send by STOW-RS, from the settings."""

import hashlib
from pathlib import Path

import pytest
from pydantic import ValidationError

from appliance.core.errors import ConfigError
from appliance.settings.model import Settings
from appliance.wiring.checks import check_installation
from appliance.wiring.stow import stow_options

DIGEST = hashlib.sha256(b"a token of some length").hexdigest()


def settings(*clients: dict[str, str]) -> Settings:
    stow = {"clients": clients}
    return Settings.model_validate(
        {"appliance": {"ae_title": "APPLIANCE"}, "receiver": {"stow": stow}}
    )


def test_a_token_file_and_its_digest_are_the_same_client(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("a token of some length\n")
    options = stow_options(
        settings(
            {"ae_title": "ONE", "token_file": str(file)},
            {"ae_title": "TWO", "token_sha256": DIGEST.upper()},
        )
    )
    assert options is not None
    assert {client.token_sha256.hex() for client in options.clients} == {DIGEST}


def test_without_the_setting_it_is_off() -> None:
    assert stow_options(Settings.model_validate({"appliance": {"ae_title": "A"}})) is None


def test_a_token_that_cannot_be_read_or_is_short_is_told_by_check(tmp_path: Path) -> None:
    (tmp_path / "short").write_text("secret")
    named = settings(
        {"ae_title": "ONE", "token_file": str(tmp_path / "short")},
        {"ae_title": "TWO", "token_file": str(tmp_path / "none")},
    )
    with pytest.raises(ConfigError) as caught:
        check_installation(named)
    told = [one for one in caught.value.problems if one.startswith("receiver.stow")]
    assert len(told) == 2
    assert "fewer than 16" in told[0]
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "token", [{}, {"token_sha256": DIGEST, "token_file": "/x"}, {"token_sha256": "abc"}]
)
def test_a_client_has_one_token(token: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match=r"token_sha256|SHA-256"):
        settings({"ae_title": "ONE", **token})
