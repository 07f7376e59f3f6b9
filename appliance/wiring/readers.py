"""Who may read: accounts, and links that the PACS shows."""

from enum import StrEnum

from appliance.core.documents import suggest
from appliance.core.errors import ConfigError, StoreError
from appliance.wiring.site import Site
from feedback.links import LinkBy, sign_link
from feedback.passwords import hash_password

LINK_USER = "pacs"


class AccountRole(StrEnum):
    """What an account may do."""

    READER = "reader"
    ADMIN = "admin"


def make_link(site: Site, study_instance_uid: str) -> str:
    """Return the signed link that opens this study's results until it expires."""
    settings = site.settings.web
    return sign_link(
        site.secret("link-key"),
        base_url=settings.url,
        by=LinkBy.STUDY,
        value=study_instance_uid,
        user=LINK_USER,
        expires_at=site.clock.now() + settings.link_lifetime,
    )


def review_page(site: Site) -> str:
    """Return the address of the worklist."""
    return f"{site.settings.web.url}/"


def check_account(site: Site, name: str) -> None:
    """Raise StoreError unless there is an account of this name."""
    if site.store.accounts.get(name) is None:
        names = [account.name for account in site.store.accounts.list()]
        raise StoreError(f"there is no account {name!r}{suggest(name, names)}")


def check_no_account(site: Site, name: str) -> None:
    """Raise StoreError if there is an account of this name."""
    if site.store.accounts.get(name) is not None:
        raise StoreError(
            f"there is an account {name!r} already; `appliance users password` changes its password"
        )


def add_account(site: Site, name: str, password: str, role: AccountRole) -> None:
    """Add an account. Raises StoreError, saying what to write."""
    site.store.accounts.create(name, _hashed(password), role.value)


def change_password(site: Site, name: str, password: str) -> None:
    """Give an account another password; its open sessions end. Raises StoreError."""
    site.store.accounts.set_password(name, _hashed(password))


def _hashed(password: str) -> str:
    try:
        return hash_password(password)
    except ConfigError as error:  # no setting is wrong: somebody typed it just now
        raise StoreError(str(error)) from None
