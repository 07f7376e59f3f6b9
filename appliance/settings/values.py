"""Single values of the settings as pydantic types; the messages say what to write instead."""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
)

from appliance.core.conditions import Condition, parse_condition
from appliance.core.documents import KeyPath, mistakes_at
from appliance.core.model import COHORT
from appliance.core.uids import is_valid_uid
from appliance.routing.contradictions import contradictions

_LONGEST_ROOT = 24  # leaves room for 39 digits of a UUID in a UID of 64 characters
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")


# -- DICOM --------------------------------------------------------------------------------


def check_ae_title(text: str) -> str:
    """Return `text` if it is an AE title. Raises ValueError. PS3.5 section 6.2, VR AE."""
    if not 1 <= len(text) <= 16:
        raise ValueError(f"{text!r} has {len(text)} characters; write 1 to 16")
    if "\\" in text or not (text.isascii() and text.isprintable()):
        raise ValueError(
            f"{text!r} has a backslash, a control character or a letter outside ASCII; "
            "write letters, digits, space, - and _"
        )
    if text != text.strip():
        raise ValueError(f"{text!r} starts or ends with a space; leave the spaces out")
    return text


def check_uid_root(text: str) -> str:
    """Return `text` if the site's UIDs can start with it. Raises ValueError."""
    if not is_valid_uid(text) or "." not in text:
        raise ValueError(f"{text!r} is no UID root; write numbers and dots, like 1.2.826.0.1.999")
    if len(text) > _LONGEST_ROOT:
        raise ValueError(f"{text!r} is longer than {_LONGEST_ROOT} characters")
    return text


AeTitle = Annotated[
    str,
    AfterValidator(check_ae_title),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 16, "pattern": r"^[^\\]*$"}),
]
UidRoot = Annotated[str, AfterValidator(check_uid_root)]


# -- network ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A host (name or address) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Return whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def parse_endpoint(value: object) -> Endpoint:
    """Return the endpoint that "host:port" names. Raises ValueError."""
    if isinstance(value, Endpoint):
        return value
    host, colon, port = str(value).rpartition(":")
    if not isinstance(value, str) or not colon or not port.isascii() or not port.isdigit():
        raise ValueError(f'{value!r} is no address; write "host:port", like "10.1.1.5:104"')
    if not 1 <= int(port) <= 65535:
        raise ValueError(f"{value!r}: write a port from 1 to 65535")
    return Endpoint(host=_check_host(host), port=int(port))


def _check_host(host: str) -> str:
    try:
        if host.startswith("[") and host.endswith("]"):
            return str(ipaddress.IPv6Address(host[1:-1]))
        return str(ipaddress.IPv4Address(host))
    except ValueError:
        if re.fullmatch(r"[0-9.]+", host) or not _HOST.fullmatch(host):
            raise ValueError(
                f"{host!r} is neither an IP address (IPv6 in brackets) nor a host name"
            ) from None
        return host


def check_host(text: str) -> str:
    """Return `text` in its normal form if it is an address or host name. Raises ValueError."""
    return _check_host(f"[{text}]" if ":" in text else text)


def check_network(text: str) -> str:
    """Return `text` in its normal form if it is an address or a network. Raises ValueError."""
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise ValueError(
            f"{text!r} is no address or network ({error}); write 10.1.2.7 or 10.1.2.0/24"
        ) from None


def check_base_url(text: str) -> str:
    """Return the address without its last slash. Raises ValueError."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{text!r} is no web address; write https://host or https://host:port")
    if parts.query or parts.fragment or parts.username:
        raise ValueError(f"{text!r}: leave out what follows ? or # and any account")
    return text.rstrip("/")


Address = Annotated[
    Endpoint,
    PlainValidator(parse_endpoint),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "examples": ["10.1.1.5:104", "pacs.example.org:11112"]}),
]
HostName = Annotated[
    str,
    AfterValidator(check_host),
    WithJsonSchema({"type": "string", "examples": ["pacs.example.org"]}),
]
Network = Annotated[
    str,
    AfterValidator(check_network),
    WithJsonSchema({"type": "string", "examples": ["10.1.2.7", "10.1.2.0/24"]}),
]
BaseUrl = Annotated[str, AfterValidator(check_base_url)]


# -- names, files, time -------------------------------------------------------------------


def check_name(text: str) -> str:
    """Return `text` if it can name a thing in commands and file names. Raises ValueError."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?", text):
        raise ValueError(f"{text!r} is no name; write a-z, 0-9 and -, like brain-mr")
    return text


def check_digest(text: str) -> str:
    """Return `text` if a SHA-256 can begin so. Raises ValueError."""
    if not re.fullmatch(r"[0-9a-f]{8,64}", text):
        raise ValueError(f"{text!r} is no digest; write at least its first 8 digits of 0-9 a-f")
    return text


def check_title(text: str) -> str:
    """Return `text` if people can read and type it on one line. Raises ValueError."""
    if not 1 <= len(text) <= 64 or not text.isprintable() or text != text.strip():
        raise ValueError(f"{text!r}: write 1 to 64 printable characters, no space around them")
    return text


def check_route(text: str) -> str:
    """Return `text` if it is a title, and no name of a cohort's runs. Raises ValueError."""
    if text.startswith(COHORT):
        raise ValueError(f"{text!r}: {COHORT} begins the name of a cohort; choose another")
    return check_title(text)


def check_absolute(path: Path) -> Path:
    """Return `path` if it does not depend on where the command was started. Raises ValueError."""
    if not path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{str(path)!r} is not absolute; write the whole path, from / on")
    return path


def check_time_zone(text: str) -> str:
    """Return `text` if the machine knows the zone. Raises ValueError."""
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{text!r} is no time zone; write one like Europe/London") from None
    return text


def check_list(items: tuple[str, ...]) -> tuple[str, ...]:
    """Return `items` if there is one and none stands twice. Raises ValueError."""
    if not items:
        raise ValueError("the list is empty; write at least one")
    twice = sorted({item for item in items if items.count(item) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)} stands twice; write it once")
    return items


Name = Annotated[str, AfterValidator(check_name)]
Title = Annotated[str, AfterValidator(check_title)]
RouteTitle = Annotated[str, AfterValidator(check_route)]
Text = Annotated[str, StringConstraints(max_length=64)]
AbsolutePath = Annotated[
    Path, AfterValidator(check_absolute), WithJsonSchema({"type": "string", "pattern": "^/"})
]
TimeZone = Annotated[
    str,
    AfterValidator(check_time_zone),
    WithJsonSchema({"type": "string", "examples": ["UTC", "Europe/London"]}),
]
Names = Annotated[
    tuple[Name, ...],
    AfterValidator(check_list),
    WithJsonSchema({"type": "array", "items": {"type": "string"}, "minItems": 1}),
]


# -- conditions ---------------------------------------------------------------------------


def read_condition(value: object) -> Condition:
    """Return the condition that `value` writes.

    Raises ValidationError with one entry, at its own key, for each mistake in it.
    """
    mistakes = tuple(_mistakes(value, ()))
    if mistakes:
        raise mistakes_at(*mistakes)
    condition = parse_condition(value)
    never = contradictions(condition)
    if never:
        raise mistakes_at(*(((), reason) for reason in never))
    return condition


def _mistakes(value: object, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    if not isinstance(value, Mapping):
        yield from _mistake(value, path)
        return
    for key, item in value.items():
        here = (*path, str(key))
        if key in ("all", "any") and isinstance(item, list) and item:
            for number, part in enumerate(item):
                yield from _mistakes(part, (*here, number))
        elif key in ("not", "instance"):
            yield from _mistakes(item, here)
        else:
            yield from _mistake({key: item}, here)


def _mistake(value: object, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    try:
        parse_condition(value)
    except ValueError as error:
        yield path, str(error).removeprefix(f"{path[-1]}: " if path else "")


When = Annotated[
    Condition,
    PlainValidator(read_condition),
    WithJsonSchema({"type": "object", "description": "see docs/SETTINGS.md, Conditions"}),
]
