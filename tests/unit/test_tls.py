"""The TLS profile, the files it is made of, and until when they are good."""

import logging
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.core.clock import SystemClock
from appliance.core.errors import ConfigError
from appliance.core.tls import (
    SUITES_1_2,
    SUITES_1_3,
    TlsFiles,
    client_context,
    expires,
    server_context,
)
from appliance.settings.model import Settings
from appliance.wiring.certificates import expiring, log_expiring
from appliance.wiring.checks import check_installation
from tests.certificates import Certificates
from tests.counterparts import run_tool


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("site"))


@pytest.mark.parametrize("make", [server_context, client_context])
def test_nothing_below_the_profile_is_spoken(
    site: Certificates, make: Callable[[TlsFiles], ssl.SSLContext]
) -> None:
    context = make(TlsFiles(trusted=site.ca))
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert {suite["name"] for suite in context.get_ciphers()} == {*SUITES_1_2, *SUITES_1_3}
    for option in (ssl.OP_NO_RENEGOTIATION, ssl.OP_NO_COMPRESSION, ssl.OP_NO_TICKET):
        assert context.options & option
    assert context.verify_mode == ssl.CERT_REQUIRED


def test_a_certificate_and_a_key_of_another_are_named(site: Certificates) -> None:
    one, other = site.issue("one"), site.issue("other")
    with pytest.raises(ConfigError, match=r"one\.pem and .*other\.key cannot be used together"):
        server_context(TlsFiles(certificate=one.certificate, key=other.key))


def test_a_key_with_a_password_is_refused_and_asks_nobody(
    site: Certificates, tmp_path: Path
) -> None:
    one, locked = site.issue("locked"), tmp_path / "locked.key"
    run_tool("openssl", "ec", "-in", one.key, "-aes128", "-passout", "pass:x1y2", "-out", locked)
    with pytest.raises(ConfigError, match="without a password"):
        server_context(TlsFiles(certificate=one.certificate, key=locked))


def test_the_end_of_a_certificate_is_that_which_openssl_reads(site: Certificates) -> None:
    for days in (20, 20_000):  # up to 2049 years have two digits
        issued = site.issue(f"for-{days}", days=days)
        said = run_tool("openssl", "x509", "-enddate", "-noout", "-in", issued.certificate)
        seconds = ssl.cert_time_to_seconds(said.strip().partition("=")[2])
        files = TlsFiles(certificate=issued.certificate, key=issued.key)
        assert expires(files) == datetime.fromtimestamp(seconds, UTC)


def test_our_certificate_counts_and_not_its_chain_and_of_the_trusted_the_last(
    site: Certificates, tmp_path: Path
) -> None:
    short, long = site.issue("short", days=5), site.issue("long", days=50)
    both = tmp_path / "both.pem"
    both.write_bytes(long.certificate.read_bytes() + short.certificate.read_bytes())
    now = datetime.now(UTC)
    for files in (TlsFiles(certificate=both, key=long.key), TlsFiles(trusted=both)):
        end = expires(files)
        assert end is not None
        assert timedelta(days=49) < end - now < timedelta(days=51)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n",
        "-----END CERTIFICATE-----\n",
    ],
)
def test_what_is_no_certificate_has_no_end(tmp_path: Path, text: str) -> None:
    path = tmp_path / "no.pem"
    path.write_text(text)
    with pytest.raises(ConfigError, match="is no PEM file with certificates"):
        expires(TlsFiles(trusted=path))


def settings(site: Certificates, days: int) -> Settings:
    own = site.issue(f"own-{days}", days=days)
    return Settings.model_validate(
        {
            "appliance": {"ae_title": "APPLIANCE"},
            "receiver": {"tls": {"certificate": own.certificate, "key": own.key}},
            "destinations": {
                "pacs": {"ae_title": "PACS", "address": "10.1.1.5:2762", "tls": {"ca": site.ca}}
            },
        }
    )


def test_a_certificate_that_ends_soon_is_told_by_its_key(
    site: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    now = datetime.now(UTC)
    assert expiring(settings(site, 60), now) == {}
    (said,) = expiring(settings(site, 20), now).items()
    assert said[0] == "receiver.tls"
    assert "in 19 days" in said[1] or "in 20 days" in said[1]
    later = expiring(settings(site, 20), now + timedelta(days=40))
    assert "nobody can connect" in later["receiver.tls"]

    with caplog.at_level(logging.WARNING, "appliance"):
        log_expiring(settings(site, 20), SystemClock())
    assert [record.getMessage() for record in caplog.records] == ["certificate.expires"]


def test_check_names_every_tls_file_that_is_of_no_use(site: Certificates, tmp_path: Path) -> None:
    broken = settings(site, 60).model_dump()
    broken["receiver"]["tls"]["key"] = tmp_path / "missing.key"
    broken["destinations"]["pacs"]["tls"]["ca"] = tmp_path / "missing.pem"
    with pytest.raises(ConfigError) as caught:
        check_installation(Settings.model_validate(broken))
    said = [problem for problem in caught.value.problems if "missing" in problem]
    assert [problem.partition(":")[0] for problem in said] == [
        "receiver.tls",
        "destinations.pacs.tls",
    ]


def test_a_key_without_its_certificate_and_a_port_that_is_taken_are_mistakes(
    site: Certificates,
) -> None:
    data = settings(site, 60).model_dump()
    data["destinations"]["pacs"]["tls"]["key"] = "/etc/key.pem"
    with pytest.raises(ValueError, match="key is of no use without it"):
        Settings.model_validate(data)
    data = settings(site, 60).model_dump()
    data["receiver"]["tls"]["listen"] = data["receiver"]["listen"]
    with pytest.raises(ValueError, match=r"is receiver\.listen's already"):
        Settings.model_validate(data)
