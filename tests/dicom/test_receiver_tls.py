"""The receiver's TLS port: DCMTK as sender, and those who should not come in."""

import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AE

from appliance.core.errors import ConfigError
from appliance.core.log import Event
from appliance.core.tls import TlsFiles, client_context
from scp.options import TlsOptions
from scp.tally import read_tallies
from scp.tls import TLS_REFUSED
from tests.builders import mr_series, mr_slices, write
from tests.certificates import Certificates, Issued
from tests.counterparts import HOST, echoscu, orthanc, storescu, tool, wait_until
from tests.receiving import Events, Running, receiver


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def ours(site: Certificates) -> Issued:
    return site.issue("appliance")


@pytest.fixture(scope="module")
def scanner(site: Certificates) -> Issued:
    return site.issue("scanner")


@contextmanager
def secured(
    root: Path, own: Issued, trusted: Path | None = None, **changes: Any
) -> Iterator[Running]:
    files = TlsFiles(certificate=own.certificate, key=own.key, trusted=trusted)
    with receiver(root, tls=TlsOptions(host=HOST, port=0, files=files), **changes) as running:
        yield running


def tls_echo(port: int, ca: Path, own: Issued | None = None, calling: str = "ECHOSCU") -> int:
    """C-ECHO with DCMTK; the exit code."""
    shown = ["+tls", own.key, own.certificate] if own else ["+tla"]
    command = [tool("echoscu"), *shown, "+cf", ca, "-aet", calling, "-aec", "APPLIANCE"]
    done = subprocess.run(
        [*map(str, command), HOST, str(port)], capture_output=True, timeout=30, check=False
    )
    return done.returncode


def connected(port: int) -> socket.socket:
    return socket.create_connection((HOST, port), timeout=20)


def test_dcmtk_sends_over_tls_and_in_clear_to_one_receiver(
    tmp_path: Path, site: Certificates, ours: Issued, scanner: Issued
) -> None:
    paths = mr_series(tmp_path / "mr", slices=3, rows=300, columns=300)
    with secured(tmp_path, ours, site.ca) as running:
        show = ["+tls", str(scanner.key), str(scanner.certificate), "+cf", str(site.ca)]
        storescu(running.receiver.tls_port, paths[:2], options=show)
        storescu(running.port, paths[2:])
    assert len(running.sink.instances) == 3


def test_orthanc_and_pynetdicom_send_over_tls(
    tmp_path: Path, site: Certificates, ours: Issued, scanner: Issued
) -> None:
    (first, second) = mr_slices(slices=2)
    files = {
        "DicomTlsCertificate": str(scanner.certificate),
        "DicomTlsPrivateKey": str(scanner.key),
        "DicomTlsTrustedCertificates": str(site.ca),
    }
    with secured(tmp_path, ours, site.ca) as running:
        port = running.receiver.tls_port
        appliance = {"AET": "APPLIANCE", "Host": HOST, "Port": port, "UseDicomTls": True}
        secure = {**files, "DicomModalities": {"APPLIANCE": appliance}}
        with orthanc(tmp_path, settings=secure) as pacs:
            pacs.post("/instances", write(first, tmp_path / "first.dcm").read_bytes())
            pacs.post("/modalities/APPLIANCE/store", {"Resources": pacs.instances()})
        entity = AE("STORESCU")
        entity.add_requested_context(second.SOPClassUID, second.file_meta.TransferSyntaxUID)
        own = TlsFiles(certificate=scanner.certificate, key=scanner.key, trusted=site.ca)
        made = entity.associate(
            HOST, port, ae_title="APPLIANCE", tls_args=(client_context(own), HOST)
        )
        assert made.send_c_store(second).Status == 0x0000
        made.release()
    sent = {one.calling_ae_title for one in running.sink.instances}
    assert sent == {"ORTHANC", "STORESCU"}


def test_a_certificate_is_asked_for_where_the_site_says_so_and_else_not(
    tmp_path: Path,
    site: Certificates,
    ours: Issued,
    scanner: Issued,
    tmp_path_factory: pytest.TempPathFactory,
    events: Events,
) -> None:
    strangers = Certificates(tmp_path_factory.mktemp("strangers"), "strangers")
    with secured(tmp_path / "asks", ours, site.ca) as running:
        port = running.receiver.tls_port
        assert tls_echo(port, site.ca, scanner) == 0
        assert tls_echo(port, site.ca, strangers.issue("intruder")) != 0
        assert tls_echo(port, site.ca) != 0
        wait_until(lambda: len(events(Event.TLS_REFUSED)) == 2)
    assert sum(peer.counts.get(TLS_REFUSED, 0) for peer in read_tallies(running.tallies)) == 2
    with secured(tmp_path / "does-not", ours) as running:
        assert tls_echo(running.receiver.tls_port, site.ca) == 0


@pytest.mark.parametrize("strangers", [False, True])
def test_an_ae_title_that_is_bound_to_a_certificate_comes_with_that_one_alone(
    tmp_path: Path, site: Certificates, ours: Issued, scanner: Issued, *, strangers: bool
) -> None:
    other = site.issue("other")
    with secured(tmp_path, ours, site.ca, accept_unknown_peers=strangers) as running:
        port = running.receiver.tls_port
        assert tls_echo(port, site.ca, scanner, "BOUND") == 0
        assert tls_echo(port, site.ca, other, "BOUND") != 0
        assert tls_echo(port, site.ca, other) == 0
        with pytest.raises(AssertionError, match="No Reason"):
            echoscu(running.port, calling="BOUND")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_of_the_profile_are_spoken_and_no_session_is_taken_up_again(
    tmp_path: Path, site: Certificates, ours: Issued, version: ssl.TLSVersion
) -> None:
    context = client_context(TlsFiles(trusted=site.ca))
    context.minimum_version = context.maximum_version = version
    session = None
    with secured(tmp_path, ours) as running:
        for _ in range(2):
            plain = connected(running.receiver.tls_port)
            with context.wrap_socket(plain, server_hostname=HOST, session=session) as made:
                assert made.version() == version.name.replace("_", ".")
                assert not made.session_reused
                session = made.session


def test_tls_1_1_and_suites_of_yesterday_are_refused(
    tmp_path: Path, site: Certificates, ours: Issued, events: Events
) -> None:
    old, weak = (client_context(TlsFiles(trusted=site.ca)) for _ in range(2))
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    weak.maximum_version = ssl.TLSVersion.TLSv1_2
    weak.set_ciphers("ECDHE-ECDSA-AES128-SHA256")  # CBC
    with secured(tmp_path, ours) as running:
        for context in (old, weak):
            with connected(running.receiver.tls_port) as plain, pytest.raises(ssl.SSLError):
                context.wrap_socket(plain, server_hostname=HOST)
        wait_until(lambda: len(events(Event.TLS_REFUSED)) == 2)


def test_who_speaks_no_tls_is_turned_away_at_once_and_disturbs_nobody(
    tmp_path: Path, site: Certificates, ours: Issued, events: Events
) -> None:
    with secured(tmp_path, ours) as running:
        port = running.receiver.tls_port
        with connected(port) as silent, connected(port) as plain:
            plain.sendall(b"\x01\x00\x00\x00\x00\xca" + bytes(202))  # A-ASSOCIATE-RQ
            began = time.monotonic()
            with suppress(ConnectionResetError):
                while plain.recv(100):
                    pass
            assert time.monotonic() - began < 5
            assert tls_echo(port, site.ca) == 0
            echoscu(running.port)
            wait_until(lambda: events(Event.TLS_REFUSED))
            assert running.receiver.connections >= 1
            silent.close()
        wait_until(lambda: running.receiver.connections == 0)
    assert events(Event.TLS_REFUSED)[0]["reason"] == "wrong version number"


def test_a_handshake_that_comes_a_byte_at_a_time_ends_at_its_time(
    tmp_path: Path, ours: Issued, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scp.tls._HANDSHAKE", 0.5)
    gone = threading.Event()

    def dribble(connection: socket.socket) -> None:
        for byte in b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500):
            try:
                connection.sendall(bytes([byte]))
            except OSError:
                break
            if gone.wait(0.05):
                break

    with secured(tmp_path, ours) as running, connected(running.receiver.tls_port) as slow:
        sender = threading.Thread(target=dribble, args=(slow,))
        sender.start()
        wait_until(lambda: running.receiver.connections == 1)
        wait_until(lambda: running.receiver.connections == 0, 5)
        gone.set()
        sender.join()


def test_a_new_certificate_serves_the_next_connection_and_a_broken_one_none(
    tmp_path: Path, site: Certificates, ours: Issued, events: Events
) -> None:
    used = Issued(certificate=tmp_path / "used.pem", key=tmp_path / "used.key")
    for source, target in zip(vars_of(ours), vars_of(used), strict=True):
        shutil.copy(source, target)
    renewed = site.issue("renewed")
    context = client_context(TlsFiles(trusted=site.ca))

    def shown(port: int) -> object:
        with context.wrap_socket(connected(port), server_hostname=HOST) as made:
            return dict(part[0] for part in made.getpeercert()["subject"])["commonName"]  # type: ignore[index,union-attr]

    with secured(tmp_path, used) as running:
        port = running.receiver.tls_port
        assert shown(port) == "appliance"
        shutil.copy(renewed.certificate, used.certificate)
        assert [shown(port), shown(port)] == ["appliance"] * 2  # its key is not there yet
        assert len(events(Event.CERTIFICATE_REFUSED)) == 1
        shutil.copy(renewed.key, used.key)
        assert shown(port) == "renewed"
        used.key.unlink()
        assert shown(port) == "renewed"


def vars_of(issued: Issued) -> tuple[Path, Path]:
    return issued.certificate, issued.key


def test_the_clear_port_can_stay_closed(tmp_path: Path, site: Certificates, ours: Issued) -> None:
    with secured(tmp_path, ours, plain=False) as running:
        assert tls_echo(running.receiver.tls_port, site.ca) == 0
        assert running.receiver.tls_port == running.port


def test_files_of_no_use_end_the_start(tmp_path: Path, ours: Issued) -> None:
    broken = Issued(certificate=ours.key, key=ours.key)
    with pytest.raises(ConfigError, match="cannot be used together"), secured(tmp_path, broken):
        pass
