"""What the web pages need to know of their site."""

from dataclasses import dataclass, field
from datetime import UTC, timedelta, tzinfo
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from appliance.core.errors import ConfigError

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True, kw_only=True)
class WebOptions:
    """Where the pages are served, under which name, and for how long people stay logged in.

    `base_url` is what browsers and the PACS write, without a trailing slash; its host is the
    only one, beside the loopback names, under which the pages answer. `link_key` signs the
    PACS's links (`feedback.links`). Times are shown in `time_zone`. Both TLS paths or none.
    """

    host: str
    port: int
    base_url: str
    institution: str
    link_key: bytes = field(repr=False)
    time_zone: tzinfo = UTC
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    session_lifetime: timedelta = timedelta(hours=10)
    link_lifetime: timedelta = timedelta(hours=12)
    max_body_bytes: int = 65_536

    @property
    def uses_tls(self) -> bool:
        """Whether this process itself speaks TLS."""
        return self.tls_certificate is not None

    @property
    def secure_cookies(self) -> bool:
        """Whether browsers reach the pages by https, here or through a proxy on this host."""
        return self.uses_tls or urlsplit(self.base_url).scheme == "https"

    @property
    def allowed_hosts(self) -> tuple[str, ...]:
        """The Host headers that are answered."""
        named = urlsplit(self.base_url).hostname or ""
        return tuple(dict.fromkeys(name for name in (named, *LOOPBACK_NAMES) if name))


def is_loopback(host: str) -> bool:
    """Return whether nothing but this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_options(options: WebOptions) -> None:
    """Raise ConfigError with everything that must not be served."""
    problems = []
    if (options.tls_certificate is None) != (options.tls_key is None):
        problems.append("web: TLS needs both a certificate and a key; only one is set")
    elif not options.uses_tls and not is_loopback(options.host):
        problems.append(
            f"web: {options.host} can be reached from outside and no TLS certificate is set;"
            " set the certificate and key, or listen on 127.0.0.1"
        )
    if len(options.link_key) < 32:
        problems.append("web: the key for links has fewer than 32 bytes; make a new one")
    if urlsplit(options.base_url).scheme not in ("http", "https"):
        problems.append(f"web: base_url {options.base_url!r} must start with http:// or https://")
    if problems:
        raise ConfigError(*problems)
