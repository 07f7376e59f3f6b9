"""Serves the application until told to stop.

uvicorn runs in a thread of its own: signals stay with the process's main thread. It writes no
access log (addresses there would hold accession numbers and signatures).
"""

import contextlib
import logging
import socket
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

import uvicorn
from starlette.types import ASGIApp

from appliance.core.errors import ApplianceError
from feedback.options import WebOptions, check_options

GRACE_SECONDS = 5
MOST_CONNECTIONS = 500
_STEP_SECONDS = 0.02


class WebServerFailed(ApplianceError):
    """The server ended by itself."""


class WebServer:
    """One server. Raises ConfigError for options that must not be served."""

    def __init__(self, options: WebOptions, app: ASGIApp) -> None:
        check_options(options)
        self._options = options
        self._server = uvicorn.Server(_config(options, app))
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Open the port and return once requests are answered. Raises OSError, WebServerFailed."""
        family = socket.AF_INET6 if ":" in self._options.host else socket.AF_INET
        self._socket = socket.create_server(
            (self._options.host.strip("[]"), self._options.port), family=family, backlog=256
        )
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)
        self._thread.start()
        while not self._server.started:
            self._thread.join(_STEP_SECONDS)
            if not self._thread.is_alive():
                raise WebServerFailed("the web server could not start")

    def stop(self) -> None:
        """Let requests under way end, for a few seconds, and close the port."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(GRACE_SECONDS * 2)
        if self._socket is not None:
            self._socket.close()

    @property
    def is_alive(self) -> bool:
        """Whether requests are answered."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def port(self) -> int:
        """Return the port, also where the options said 0 and the system chose one."""
        if self._socket is None:
            raise WebServerFailed("the web server has not started")
        return int(self._socket.getsockname()[1])

    def _run(self) -> None:
        sockets = [] if self._socket is None else [self._socket]
        with contextlib.suppress(SystemExit):  # how uvicorn says that it could not start
            self._server.run(sockets=sockets)


def serve(
    options: WebOptions,
    app: ASGIApp,
    stop: threading.Event,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve `app` until `stop` is set; call `ready` once requests are answered.

    Raises ConfigError, OSError for a port that cannot be opened, WebServerFailed.
    """
    server = WebServer(options, app)
    server.start()
    try:
        ready()
        while not stop.wait(0.5):
            if not server.is_alive:
                raise WebServerFailed("the web server ended by itself")
    finally:
        server.stop()


def _config(options: WebOptions, app: ASGIApp) -> uvicorn.Config:
    behind_proxy = not options.uses_tls and urlsplit(options.base_url).scheme == "https"
    return uvicorn.Config(
        app,
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        server_header=False,
        http="h11",
        ws="none",
        lifespan="off",
        proxy_headers=behind_proxy,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        ssl_certfile=options.tls_certificate,
        ssl_keyfile=options.tls_key,
    )
