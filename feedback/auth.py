"""Who is looking: sessions of accounts, and sessions that a signed link opened for one study.

A session is a random token in a cookie; the store keeps its hash. An account's cookie is sent
to every page. A link's cookie is sent to its study's pages alone (by its path), so that two
studies opened from the PACS stay open side by side.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from starlette.requests import Request
from starlette.responses import Response

from appliance.core.clock import Clock
from feedback.errors import LoginNeeded, not_found, refused_post
from feedback.options import WebOptions
from feedback.tokens import csrf_token, hash_of, is_signed, new_session_token, session_key
from results_store.store import Store

ACCOUNT_COOKIE = "appliance_session"
STUDY_COOKIE = "appliance_study"
LOGIN_COOKIE = "appliance_login"
CSRF_FIELD = "csrf"


class AccountRole(StrEnum):
    """What an account may do. Readers look and answer; admins also see how others answered."""

    READER = "reader"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who holds a valid session. `study_scope` is the one study of a link's session."""

    account: str
    role: AccountRole
    study_scope: str | None
    key: bytes = field(repr=False)  # signs this session's forms

    @property
    def csrf(self) -> str:
        """Return the token that each form of this session must carry."""
        return csrf_token(self.key)


class Gate:
    """Opens, finds and closes sessions."""

    def __init__(self, options: WebOptions, store: Store, clock: Clock) -> None:
        self._options = options
        self._store = store
        self._clock = clock

    def visitor(self, request: Request, study_instance_uid: str | None = None) -> Visitor | None:
        """Return who asks; a link's session counts only for its own study."""
        account = self._session(request.cookies.get(ACCOUNT_COOKIE))
        if account is not None and account.study_scope is None:
            return account
        linked = self._session(request.cookies.get(STUDY_COOKIE))
        if linked is None or study_instance_uid is None:
            return None
        return linked if linked.study_scope == study_instance_uid else None

    def require_account(self, request: Request) -> Visitor:
        """Return the account that asks. Raises LoginNeeded."""
        visitor = self.visitor(request)
        if visitor is None:
            raise LoginNeeded
        return visitor

    def require_admin(self, request: Request) -> Visitor:
        """Return the admin that asks. Raises LoginNeeded, or PageError for a reader."""
        visitor = self.require_account(request)
        if visitor.role is not AccountRole.ADMIN:
            raise not_found()
        return visitor

    def require_study(self, request: Request, study_instance_uid: str) -> Visitor:
        """Return who may look at the study. Raises LoginNeeded."""
        visitor = self.visitor(request, study_instance_uid)
        if visitor is None:
            raise LoginNeeded
        return visitor

    def check_csrf(self, visitor: Visitor, sent: str) -> None:
        """Raise PageError unless `sent` is the session's own token."""
        if not is_signed(visitor.key, sent, "csrf"):
            raise refused_post()

    def open_account(self, response: Response, account: str) -> None:
        """Open a session for an account that has proved who it is."""
        token = self._open(account, None, self._options.session_lifetime)
        self._set(response, ACCOUNT_COOKIE, token, path="/")

    def open_study(self, response: Response, user: str, study_instance_uid: str) -> None:
        """Open a session for `user`, limited to one study."""
        token = self._open(user, study_instance_uid, self._options.session_lifetime)
        self._set(response, STUDY_COOKIE, token, path=study_path(study_instance_uid))

    def close(self, request: Request, response: Response) -> None:
        """End the account's session."""
        token = request.cookies.get(ACCOUNT_COOKIE)
        if token:
            self._store.accounts.close_session(hash_of(token))
        response.delete_cookie(ACCOUNT_COOKIE, path="/")

    def set_login_cookie(self, response: Response, nonce: str) -> None:
        """Bind the login form to this browser until a session does."""
        self._set(response, LOGIN_COOKIE, nonce, path="/login")

    def _open(self, account: str, scope: str | None, lifetime: timedelta) -> str:
        token = new_session_token()
        expires_at = self._clock.now() + lifetime
        self._store.accounts.open_session(hash_of(token), account, scope, expires_at)
        return token

    def _session(self, token: str | None) -> Visitor | None:
        if not token:
            return None
        session = self._store.accounts.session(hash_of(token), self._clock.now())
        if session is None:
            return None
        role = AccountRole.READER
        if session.study_scope is None:
            account = self._store.accounts.get(session.account)
            if account is None or account.disabled_at is not None:
                return None
            role = AccountRole(account.role)
        return Visitor(
            account=session.account,
            role=role,
            study_scope=session.study_scope,
            key=session_key(self._options.link_key, token),
        )

    def _set(self, response: Response, name: str, value: str, *, path: str) -> None:
        response.set_cookie(
            name,
            value,
            path=path,
            httponly=True,
            samesite="lax",
            secure=self._options.secure_cookies,
        )


def study_path(study_instance_uid: str) -> str:
    """Return the path under which everything of one study stands."""
    return f"/studies/{study_instance_uid}"
