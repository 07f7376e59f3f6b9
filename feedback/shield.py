"""What stands before every page: headers, the size of a body, and where a post came from."""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# blob: are frames that a script of ours has fetched and keeps in memory.
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none';"
    " form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # no-referrer would make browsers send "Origin: null" with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
STATIC_PREFIX = "/static/"
SAFE_METHODS = frozenset({"GET", "HEAD"})


class BodyTooLarge(Exception):
    """More bytes came than any form of ours has."""


class Shield:
    """ASGI middleware around the whole site."""

    def __init__(
        self, app: ASGIApp, *, base_url: str, max_body_bytes: int, strict_transport: bool
    ) -> None:
        self._app = app
        self._own = urlsplit(base_url).netloc
        self._max = max_body_bytes
        self._strict_transport = strict_transport

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        shielded = self._with_headers(scope, send)
        if refusal is not None:
            await refusal(scope, receive, shielded)
            return
        try:
            await self._app(scope, self._counted(receive), shielded)
        except BodyTooLarge:
            await _too_large()(scope, receive, shielded)

    def _refusal(self, scope: Scope, headers: Headers) -> PlainTextResponse | None:
        if scope["method"] not in SAFE_METHODS | {"POST"}:
            return PlainTextResponse("Method not allowed", status_code=405)
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self._max:
            return _too_large()
        if scope["method"] == "POST" and not self._from_here(headers):
            return PlainTextResponse("This was sent from another site.", status_code=403)
        return None

    def _from_here(self, headers: Headers) -> bool:
        """Return whether the browser says that the post comes from a page of ours, or nothing."""
        origin = headers.get("origin")
        if origin is None:
            return headers.get("sec-fetch-site") in (None, "same-origin", "none")
        try:
            return urlsplit(origin).netloc in (headers.get("host"), self._own)
        except ValueError:
            return False

    def _counted(self, receive: Receive) -> Receive:
        left = self._max

        async def counted() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise BodyTooLarge
            return message

        return counted

    def _with_headers(self, scope: Scope, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                if self._strict_transport:
                    headers["Strict-Transport-Security"] = "max-age=31536000"
                if not scope["path"].startswith(STATIC_PREFIX):
                    headers["Cache-Control"] = "no-store"
            await send(message)

        return sending


def _too_large() -> PlainTextResponse:
    return PlainTextResponse("This is larger than any form of this site.", status_code=413)
