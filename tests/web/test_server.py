"""Serving and ending."""

import socket
import ssl
import subprocess
import threading
from pathlib import Path

import httpx
import pytest

from feedback.server import WebServer, serve
from feedback.web import create_app
from tests.web.world import World, web_options


def test_serving_ends_when_it_is_told_to(world: World) -> None:
    options = web_options()
    stop, ready = threading.Event(), threading.Event()
    app = create_app(options, world.sources())
    thread = threading.Thread(target=serve, args=(options, app, stop, ready.set))
    thread.start()
    assert ready.wait(20)
    stop.set()
    thread.join(20)
    assert not thread.is_alive()
    assert not [t for t in threading.enumerate() if t.name == "web"]


def test_a_port_that_is_taken_is_an_error_at_once(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        options = web_options(port=taken.getsockname()[1])
        server = WebServer(options, create_app(options, world.sources()))
        with pytest.raises(OSError, match="in use"):
            server.start()


def test_with_a_certificate_pages_come_by_tls(world: World, tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "1", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    options = web_options(base_url="https://localhost", tls_certificate=certificate, tls_key=key)
    server = WebServer(options, create_app(options, world.sources()))
    server.start()
    try:
        trusted = ssl.create_default_context(cafile=str(certificate))
        with httpx.Client(base_url=f"https://localhost:{server.port}", verify=trusted) as client:
            answer = client.get("/login")
    finally:
        server.stop()
    assert answer.status_code == 200
    assert "max-age" in answer.headers["strict-transport-security"]
    assert "Secure" in answer.headers["set-cookie"]
