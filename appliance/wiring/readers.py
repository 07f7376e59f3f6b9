"""Who may read: accounts, and links that the PACS shows."""

from appliance.core.errors import StoreError
from appliance.wiring.site import Site
from feedback.links import LinkBy, sign_link
from feedback.passwords import hash_password

ROLES = ("reader", "admin")
LINK_USER = "pacs"


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


def add_account(site: Site, name: str, password: str, role: str) -> None:
    """Add an account. Raises StoreError or ConfigError, saying what to write."""
    if role not in ROLES:
        raise StoreError(f"{role!r} is no role; write one of {', '.join(ROLES)}")
    site.store.accounts.create(name, hash_password(password), role)


def change_password(site: Site, name: str, password: str) -> None:
    """Give an account another password; its open sessions end. Raises StoreError."""
    site.store.accounts.set_password(name, hash_password(password))
