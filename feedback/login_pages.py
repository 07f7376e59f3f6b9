"""Logging in and out with a local account."""

import logging
import secrets
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated
from urllib.parse import urlencode, urlsplit

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from appliance.core.log import Event, log_event
from feedback.auth import CSRF_FIELD, LOGIN_COOKIE
from feedback.errors import PageError, refused_post
from feedback.passwords import PasswordCheck
from feedback.site import Site, first, posted, see_other
from feedback.throttle import Throttle
from feedback.tokens import is_signed, sign

Fields = Annotated[Mapping[str, Sequence[str]], Depends(posted)]
ALLOWED_FAILURES = 5
WINDOW = timedelta(minutes=10)


class LoginPages:
    """The login form, and what it posts to."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._passwords = PasswordCheck()
        self._throttle = Throttle(site.sources.clock, allowed=ALLOWED_FAILURES, window=WINDOW)

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter()
        router.add_api_route("/login", self.form, methods=["GET"])
        router.add_api_route("/login", self.login, methods=["POST"])
        router.add_api_route("/logout", self.logout, methods=["POST"])
        return router

    def form(self, request: Request, next: str = "/") -> Response:  # noqa: A002 (the URL's word)
        """Show the login form; `next` is where it leads."""
        return self._form(request, next, problem="", status=200)

    def login(self, request: Request, fields: Fields) -> Response:
        """Open a session if the password is right."""
        nonce = request.cookies.get(LOGIN_COOKIE, "")
        if not nonce or not is_signed(self._key, first(fields, CSRF_FIELD), "login", nonce):
            raise refused_post()
        name, target = first(fields, "account").strip(), first(fields, "next")
        address = request.client.host if request.client else ""
        keys = (f"account {name} {address}", f"address {address}")
        self._slow_down(keys)
        if not self._holds(name, first(fields, "password")):
            self._throttle.failed(*keys)
            log_event(Event.LOGIN_FAILED, level=logging.WARNING, peer_address=address)
            problem = "This account and password do not belong together."
            return self._form(request, target, problem=problem, status=403)
        self._throttle.succeeded(keys[0])
        response = see_other(safe_next(target))
        self._site.gate.open_account(response, name)
        self._site.store.audit.record(name, "logged-in", None, "")
        return response

    def logout(self, request: Request, fields: Fields) -> Response:
        """End the session."""
        gate = self._site.gate
        visitor = gate.require_account(request)
        gate.check_csrf(visitor, first(fields, CSRF_FIELD))
        response = see_other("/login")
        gate.close(request, response)
        self._site.store.audit.record(visitor.account, "logged-out", None, "")
        return response

    @property
    def _key(self) -> bytes:
        return self._site.options.link_key

    def _form(self, request: Request, target: str, *, problem: str, status: int) -> Response:
        nonce = secrets.token_urlsafe(32)
        values = {
            "next": safe_next(target),
            "csrf": sign(self._key, "login", nonce),
            "problem": problem,
        }
        response = self._site.pages.draw(request, "login.html", values=values, status=status)
        self._site.gate.set_login_cookie(response, nonce)
        return response

    def _slow_down(self, keys: tuple[str, ...]) -> None:
        seconds = self._throttle.wait(*keys)
        if seconds:
            minutes = -(-seconds // 60)
            raise PageError(
                429,
                "Too many wrong passwords",
                f"Please wait {minutes} min before you try again.",
            )

    def _holds(self, name: str, password: str) -> bool:
        account = self._site.store.accounts.get(name) if name else None
        usable = account is not None and account.disabled_at is None
        hashed = account.password_hash if account is not None and usable else None
        return self._passwords.holds(hashed, password)


def safe_next(target: str) -> str:
    """Return `target` if it is a path on this site, else the worklist."""
    parts = urlsplit(target)
    is_path = target.startswith("/") and not target.startswith("//")
    plain = target.isascii() and target.isprintable() and "\\" not in target
    return target if is_path and plain and not parts.scheme and not parts.netloc else "/"


def login_url(target: str) -> str:
    """Return where to log in before going on to `target`."""
    return f"/login?{urlencode({'next': safe_next(target)})}"
