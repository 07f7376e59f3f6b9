"""From the settings to what the receiver and the peers are told of TLS and commitment."""

from pathlib import Path
from typing import Any

import pytest

from appliance.core.clock import SystemClock
from appliance.peers import DicomClient
from appliance.settings.model import Settings
from appliance.wiring.nodes import client_of, commitment_reports
from appliance.wiring.receive import receiver_options, services
from appliance.wiring.site import Site, folders_of
from scp.commitment import StorageCommitment

TLS = {"certificate": "/etc/tls/own.pem", "key": "/etc/tls/own.key"}


def settings(folder: Path, **receiver: Any) -> Settings:
    pacs = {"ae_title": "PACS", "address": "10.1.1.5:104"}
    secured = {**pacs, "tls": {"ca": "/etc/tls/ca.pem", "name": "pacs.example.org", **TLS}}
    return Settings.model_validate(
        {
            "appliance": {"ae_title": "APPLIANCE", "data_dir": folder},
            "receiver": receiver,
            "destinations": {"pacs": pacs, "secured": {**secured, "ae_title": "SECURED"}},
        }
    )


def test_the_clear_port_stays_open_beside_tls_unless_the_site_says_so(tmp_path: Path) -> None:
    assert receiver_options(settings(tmp_path)).tls is None
    for only in (False, True):
        found = receiver_options(settings(tmp_path, tls={**TLS, "only": only}))
        assert found.plain is not only
        assert found.tls is not None
        assert (found.tls.host, found.tls.port) == ("0.0.0.0", 2762)  # noqa: S104
        assert found.tls.files.paths() == (Path("/etc/tls/own.pem"), Path("/etc/tls/own.key"))


def test_a_peer_is_bound_to_a_certificate_only_where_certificates_are_asked_for(
    tmp_path: Path,
) -> None:
    peers = [{"ae_title": "CT03", "address": "10.1.2.11", "certificate": "ct03.example.org"}]
    for tls in ({}, {"tls": TLS}):
        with pytest.raises(ValueError, match="never asked for"):
            settings(tmp_path, peers=peers, **tls)
    asking = {**TLS, "client_ca": "/etc/tls/ca.pem"}
    (peer,) = receiver_options(settings(tmp_path, peers=peers, tls=asking)).peers
    assert peer.certificate == "ct03.example.org"


def test_a_destination_is_told_its_authority_and_its_name(tmp_path: Path) -> None:
    site = settings(tmp_path)
    assert client_of(site, "pacs")._node.tls is None
    tls = client_of(site, "secured")._node.tls
    assert tls is not None
    assert (tls.name, tls.files.trusted) == ("pacs.example.org", Path("/etc/tls/ca.pem"))


def test_commitment_is_offered_where_a_peer_may_ask_and_answered_where_it_listens(
    tmp_path: Path,
) -> None:
    def offered(site: Settings) -> bool:
        opened = Site(site, folders_of(site), SystemClock())
        return any(isinstance(one, StorageCommitment) for one in services(opened))

    here = {"address": "10.1.2.7"}
    assert not offered(settings(tmp_path, peers=[{"ae_title": "MR01", **here}]))
    asking = [
        {"ae_title": "MR01", "commitment": True, "reports_to": "10.1.2.7:4104", **here},
        {"ae_title": "SECURED", "commitment": True, **here},
        {"ae_title": "CT01", **here},
    ]
    site = settings(tmp_path, peers=asking)
    assert offered(site)
    reports: Any = commitment_reports(site)
    assert set(reports) == {"MR01", "SECURED"}
    clients: list[DicomClient] = [reports[title].__self__ for title in ("MR01", "SECURED")]
    assert [(c._node.host, c._node.port) for c in clients] == [
        ("10.1.2.7", 4104),
        ("10.1.1.5", 104),
    ]
    assert clients[1]._node.tls is not None


def test_a_peer_that_may_ask_and_is_nowhere_to_be_answered_is_a_mistake(tmp_path: Path) -> None:
    lost = [{"ae_title": "MR01", "address": "10.1.2.7", "commitment": True}]
    with pytest.raises(ValueError, match="write where it takes the answers"):
        settings(tmp_path, peers=lost)
