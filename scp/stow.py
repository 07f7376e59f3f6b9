"""STOW-RS: instances by HTTP, streamed part by part into the spool. PS3.18 section 10.5.

An ASGI application that knows only the spool: no database, no pages. Who may send has a token;
a header in which a proxy would name a client certificate is never believed, since anybody can
write one.
"""

import asyncio
import hashlib
import hmac
import json
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Any

from appliance.core.model import Door
from appliance.core.uids import is_usable_uid
from scp.deposit import Depot, Source
from scp.multipart import LONGEST_BOUNDARY, MalformedBody
from scp.status import STATUSES, Outcome
from scp.stow_request import StowRequest, Taken

_PIECE = 1024**2  # bytes that are read before they are written
_PARAMETER = re.compile(r""";\s*([a-zA-Z-]+)\s*=\s*("[^"\\]*"|[^\s;"]+)""")  # RFC 9110 5.6.6
_JSON = "application/dicom+json"
_ACCEPTABLE = ("*/*", "application/*", "application/json", _JSON)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StowClient:
    """Who may send: a name under which it is kept, and the SHA-256 of its token."""

    ae_title: str
    token_sha256: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StowOptions:
    """Who may send how much. Sizes in bytes."""

    ae_title: str  # ours
    clients: tuple[StowClient, ...]
    largest_request: int
    most_parts: int = 10_000  # of one request
    most_requests: int = 8  # at one time
    patience: timedelta = timedelta(seconds=60)  # with each megabyte
    prefix: str = "/dicom-web"


class _Refused(Exception):
    """The request ends here."""

    def __init__(self, status: HTTPStatus, text: str, **headers: str) -> None:
        super().__init__(text)
        self.status = status
        self.headers = headers


class _Gone(Exception):
    """Nobody waits for an answer."""


class Stow:
    """Serves `prefix`/studies; everything else goes to `otherwise`."""

    def __init__(self, options: StowOptions, depot: Depot, otherwise: Application) -> None:
        self._options = options
        self._depot = depot
        self._otherwise = otherwise
        self._busy = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = str(scope.get("path", ""))
        if scope["type"] != "http" or not path.startswith(f"{self._options.prefix}/"):
            await self._otherwise(scope, receive, send)
            return
        try:
            taken = await self._take(scope, path, receive)
            status, headers = _status(taken)
            body, kind = json.dumps(_document(taken)).encode(), _JSON
        except _Refused as refusal:
            status, headers = refusal.status, refusal.headers
            body, kind = f"{refusal}\n".encode(), "text/plain; charset=utf-8"
        except _Gone:
            return
        await _respond(send, status, {"content-type": kind, **headers}, body)

    async def _take(self, scope: Scope, path: str, receive: Receive) -> tuple[Taken, ...]:
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        client = self._client(headers)
        study = self._study(path)
        if scope["method"] != "POST":
            raise _Refused(HTTPStatus.METHOD_NOT_ALLOWED, "only POST", allow="POST")
        boundary = _boundary(headers)
        self._check_size(headers)
        if self._busy >= self._options.most_requests:
            raise _unavailable("too many requests at one time")
        if not self._depot.has_room():
            raise _unavailable(STATUSES[Outcome.NO_ROOM].comment)
        address = scope.get("client") or ("",)
        source = Source(
            door=Door.PUSHED,
            calling_ae_title=client.ae_title,
            called_ae_title=self._options.ae_title,
            peer_address=str(address[0]),
            study_instance_uid=study,
        )
        request = StowRequest(self._depot, source, boundary, most_parts=self._options.most_parts)
        self._busy += 1
        try:
            return await self._read(request, receive)
        except MalformedBody as error:
            raise _Refused(HTTPStatus.BAD_REQUEST, str(error)) from None
        finally:
            self._busy -= 1
            request.discard()

    # -- before the body ------------------------------------------------------------------

    def _client(self, headers: Mapping[str, str]) -> StowClient:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        digest = hashlib.sha256(token.strip().encode("latin-1")).digest()
        found = None
        for client in self._options.clients:  # all of them: the time tells nothing
            if hmac.compare_digest(client.token_sha256, digest):
                found = client
        if found is None or scheme.lower() != "bearer":
            challenge = {"www-authenticate": "Bearer"}
            raise _Refused(HTTPStatus.UNAUTHORIZED, "a bearer token is needed", **challenge)
        return found

    def _study(self, path: str) -> str:
        kind, *uid = path.removeprefix(f"{self._options.prefix}/").rstrip("/").split("/")
        if kind != "studies" or len(uid) > 1:
            raise _Refused(HTTPStatus.NOT_FOUND, "only studies are stored here")
        if uid and not is_usable_uid(uid[0]):
            raise _Refused(HTTPStatus.BAD_REQUEST, "no Study Instance UID")
        return uid[0] if uid else ""

    def _check_size(self, headers: Mapping[str, str]) -> None:
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            raise _Refused(HTTPStatus.BAD_REQUEST, "no Content-Length")
        if len(length) > 18 or int(length) > self._options.largest_request:
            raise self._too_large()

    def _too_large(self) -> _Refused:
        most = self._options.largest_request
        return _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {most} bytes")

    # -- the body -------------------------------------------------------------------------

    async def _read(self, request: StowRequest, receive: Receive) -> tuple[Taken, ...]:
        """Return what became of the parts. Nothing of the body is held but the piece at hand."""
        size, is_last = 0, False
        while not is_last:
            try:
                # For a whole piece: who sends a byte now and then does not keep his place.
                async with asyncio.timeout(self._options.patience.total_seconds()):
                    piece, is_last = await _piece(receive)
            except TimeoutError:
                raise _Refused(HTTPStatus.REQUEST_TIMEOUT, "the body came too slowly") from None
            size += len(piece)
            if size > self._options.largest_request:
                raise self._too_large()
            await asyncio.to_thread(request.feed, piece)
        return request.end()


async def _piece(receive: Receive) -> tuple[bytes, bool]:
    """Return the next megabyte or so of the body, and whether it is the last."""
    piece = bytearray()
    while len(piece) < _PIECE:
        message = await receive()
        if message["type"] != "http.request":
            raise _Gone
        piece += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(piece), True
    return bytes(piece), False


def _boundary(headers: Mapping[str, str]) -> str:
    """Return the boundary of a multipart/related body of DICOM files. PS3.18 section 8.6."""
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "no Content-Encoding is taken")
    accepted = [part.partition(";")[0].strip() for part in headers.get("accept", "*/*").split(",")]
    if not any(kind.lower() in _ACCEPTABLE for kind in accepted):
        raise _Refused(HTTPStatus.NOT_ACCEPTABLE, f"the answer is {_JSON}")
    kind, _, rest = headers.get("content-type", "").partition(";")
    named: dict[str, str] = {
        name.lower(): value.strip('"') for name, value in _PARAMETER.findall(";" + rest)
    }
    root = named.get("type", "application/dicom").lower()
    if kind.strip().lower() != "multipart/related" or root != "application/dicom":
        wanted = 'multipart/related; type="application/dicom"'
        raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"only {wanted} is taken")
    boundary = named.get("boundary", "")
    if not (boundary.isascii() and boundary.isprintable()) or not (
        1 <= len(boundary) <= LONGEST_BOUNDARY
    ):
        raise _Refused(HTTPStatus.BAD_REQUEST, "the multipart body has no boundary")
    return boundary


def _unavailable(text: str) -> _Refused:
    return _Refused(HTTPStatus.SERVICE_UNAVAILABLE, text, **{"retry-after": "60"})


def _status(taken: tuple[Taken, ...]) -> tuple[HTTPStatus, Mapping[str, str]]:
    """Return the answer's status. PS3.18 section 10.5.3.1."""
    outcomes = {one.outcome for one in taken}
    if not outcomes:
        raise _Refused(HTTPStatus.BAD_REQUEST, "the body has no part")
    kept = {Outcome.STORED, Outcome.DUPLICATE}
    if outcomes == {Outcome.NO_ROOM}:
        return HTTPStatus.SERVICE_UNAVAILABLE, {"retry-after": "60"}
    if outcomes <= kept:
        return HTTPStatus.OK, {}
    return HTTPStatus.ACCEPTED if outcomes & kept else HTTPStatus.CONFLICT, {}


def _document(taken: tuple[Taken, ...]) -> Mapping[str, object]:
    """Return the answer in the DICOM JSON model. PS3.18 annexes F and I.2."""
    stored, failed, other = [], [], []
    for one in taken:
        status = STATUSES[one.outcome].code
        reason = {"00081197": {"vr": "US", "Value": [status]}}
        reference = {
            "00081150": {"vr": "UI", "Value": [one.sop_class_uid]},
            "00081155": {"vr": "UI", "Value": [one.sop_instance_uid]},
        }
        if status == 0:
            stored.append({**reference, "00081190": {"vr": "UR"}})  # nothing is retrieved here
        elif one.is_named:
            failed.append({**reference, **reason})
        else:
            other.append(reason)
    document: dict[str, object] = {"00081190": {"vr": "UR"}}
    for tag, items in (("00081198", failed), ("00081199", stored), ("0008119A", other)):
        if items:
            document[tag] = {"vr": "SQ", "Value": items}
    return document


async def _respond(send: Send, status: HTTPStatus, headers: Mapping[str, str], body: bytes) -> None:
    pairs = {**headers, "content-length": str(len(body)), "cache-control": "no-store"}
    encoded = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in pairs.items()]
    await send({"type": "http.response.start", "status": int(status), "headers": encoded})
    await send({"type": "http.response.body", "body": body})
