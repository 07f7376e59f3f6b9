"""Asking and sending over TLS, to DCMTK's receiver, to Orthanc, and to ports that are none."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AE
from pynetdicom.sop_class import Verification

from appliance.core.errors import PeerError, PeerRefused
from appliance.core.tls import TlsFiles
from appliance.peers import DicomClient, DicomNode, NodeTls
from tests.builders import mr_series
from tests.certificates import Certificates, Issued
from tests.counterparts import HOST, orthanc, storescp, wait_until


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def pacs(site: Certificates) -> Issued:
    return site.issue("pacs")


@pytest.fixture(scope="module")
def ours(site: Certificates) -> Issued:
    return site.issue("appliance")


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("strangers"), "strangers")


def client(
    port: int, trusted: Path, own: Issued | None = None, *, name: str | None = None
) -> DicomClient:
    files = TlsFiles(
        trusted=trusted,
        certificate=own.certificate if own else None,
        key=own.key if own else None,
    )
    return DicomClient(
        DicomNode(
            name="pacs",
            ae_title="ORTHANC",
            host=HOST,
            port=port,
            calling_ae_title="APPLIANCE",
            timeout=timedelta(seconds=10),
            tls=NodeTls(files=files, name=name),
        )
    )


@contextmanager
def node(context: ssl.SSLContext | None) -> Iterator[int]:
    """A node that answers C-ECHO over what the context makes."""
    entity = AE("ORTHANC")
    entity.add_supported_context(Verification)
    server = entity.start_server((HOST, 0), block=False, ssl_context=context)
    try:
        yield int(server.socket.getsockname()[1])
    finally:
        entity.shutdown()


def server(own: Issued, trusted: Path | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.certificate, own.key)
    if trusted is not None:
        context.load_verify_locations(trusted)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def test_a_result_reaches_dcmtk_that_wants_our_certificate(
    tmp_path: Path, site: Certificates, pacs: Issued, ours: Issued
) -> None:
    paths = mr_series(tmp_path / "mr", slices=2)
    secured = ["+tls", pacs.key, pacs.certificate, "+cf", site.ca, "-rc"]
    with storescp(tmp_path / "received", *map(str, secured)) as port:
        outcomes = client(port, site.ca, ours).store(paths)
    assert all(outcome.accepted for outcome in outcomes)
    assert len(list((tmp_path / "received").iterdir())) == 2


def test_orthanc_is_asked_over_tls(
    tmp_path: Path, site: Certificates, pacs: Issued, ours: Issued
) -> None:
    secured = {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(pacs.certificate),
        "DicomTlsPrivateKey": str(pacs.key),
        "DicomTlsTrustedCertificates": str(site.ca),
    }
    with orthanc(tmp_path, modalities={"APPLIANCE": 104}, settings=secured) as running:
        client(running.port, site.ca, ours).echo()


def test_a_certificate_that_nobody_we_trust_signed_is_refused(
    strangers: Certificates, pacs: Issued
) -> None:
    with node(server(pacs)) as port, pytest.raises(PeerError, match=r"tls\.ca") as caught:
        client(port, strangers.ca).echo()
    assert not isinstance(caught.value, PeerRefused)  # it may be mended: the result waits
    assert f"pacs (ORTHANC at {HOST}:{port})" in str(caught.value)


def test_a_certificate_for_another_name_is_refused(site: Certificates) -> None:
    elsewhere = site.issue("elsewhere", names=["DNS:pacs.example.org"])
    with node(server(elsewhere)) as port:
        with pytest.raises(PeerError, match=r"not valid for '127.0.0.1'"):
            client(port, site.ca).echo()
        client(port, site.ca, name="pacs.example.org").echo()


def test_the_other_sides_own_certificate_can_be_trusted_alone(pacs: Issued) -> None:
    with node(server(pacs)) as port:
        client(port, pacs.certificate).echo()


def test_a_node_that_wants_a_certificate_which_we_do_not_show_says_so(
    site: Certificates, pacs: Issued, ours: Issued
) -> None:
    with node(server(pacs, trusted=site.ca)) as port:
        with pytest.raises(PeerError, match=r"refuses TLS with us.*tls\.certificate"):
            client(port, site.ca).echo()
        client(port, site.ca, ours).echo()


def test_a_node_without_tls_is_told_from_one_that_is_down(site: Certificates) -> None:
    with node(None) as port, pytest.raises(PeerError, match="does it speak TLS on this port"):
        client(port, site.ca).echo()


def test_what_speaks_tls_of_yesterday_alone_is_refused(site: Certificates, pacs: Issued) -> None:
    yesterday = server(pacs)
    yesterday.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        yesterday.minimum_version = ssl.TLSVersion.TLSv1
        yesterday.maximum_version = ssl.TLSVersion.TLSv1_1
    with node(yesterday) as port, pytest.raises(PeerError, match="TLS"):
        client(port, site.ca).echo()


def test_files_that_broke_since_the_start_are_an_error_of_this_delivery(
    tmp_path: Path, pacs: Issued
) -> None:
    nothing = tmp_path / "empty.pem"
    nothing.write_text("")
    with node(server(pacs)) as port, pytest.raises(PeerError, match="holds no certificate"):
        client(port, nothing).echo()


def test_no_thread_and_no_connection_stays_behind_a_failure(
    strangers: Certificates, pacs: Issued
) -> None:
    before: Any = threading.active_count()
    with node(server(pacs)) as port, pytest.raises(PeerError):
        client(port, strangers.ca).echo()
    wait_until(lambda: threading.active_count() <= before)
