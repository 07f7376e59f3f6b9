"""What a page answers when it cannot show what was asked for: always in plain words."""


class PageError(Exception):
    """A page that says what is wrong and what to do; `status` is the HTTP status."""

    def __init__(self, status: int, title: str, message: str) -> None:
        super().__init__(f"{status} {title}")
        self.status = status
        self.title = title
        self.message = message


class LoginNeeded(PageError):
    """Nobody is logged in, or the session is over."""

    def __init__(self) -> None:
        super().__init__(401, "Please log in", "Your session is over, or you have not logged in.")


def not_found() -> PageError:
    """Return the answer for a study that is not here, or that the visitor may not see."""
    return PageError(
        404,
        "This study is not here",
        "The appliance has not received images of this study. If they were sent just now, wait a"
        " moment and open it again.",
    )


def refused_post() -> PageError:
    """Return the answer for a post that does not come from a page of this session."""
    return PageError(
        403,
        "This was not sent",
        "The page that you sent this from is too old or not ours. Reload the page and send again;"
        " nothing was recorded.",
    )
