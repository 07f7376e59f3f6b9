"""What every page of the site shares: the store, the clock, the gate, and how a page is drawn."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.templating import Jinja2Templates

from appliance.core.clock import Clock
from appliance.core.product import VERSION
from appliance.core.quantities import format_size
from feedback.auth import Gate, Visitor
from feedback.banner import date_words
from feedback.forms import Form
from feedback.options import WebOptions
from feedback.system import Lookout
from results_store.store import Store

HERE = Path(__file__).parent
STATIC = HERE / "static"
MAX_FIELDS = 100
_DIRECTIONS = {
    "R": "right", "L": "left", "A": "anterior", "P": "posterior", "H": "head", "F": "feet"
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSources:
    """Where the pages read from.

    `image_path` returns the file of a spool name, or None once it is no longer kept.
    `patient_key_of_id` returns the keyed hash of (Patient ID, its issuer or ""), or None for
    a value that never matches. `forms` has the form of each name that a route may use, and
    "default". `pipelines` are the names of those that are installed now. `lookout` has what
    the spool, the disk and the other roles tell.
    """

    store: Store
    clock: Clock
    image_path: Callable[[str], Path | None]
    results_folder: Path
    patient_key_of_id: Callable[[str, str], str | None]
    pipelines: tuple[str, ...]
    forms: Mapping[str, Form]
    lookout: Lookout


class Pages:
    """Draws templates; everything in them is escaped."""

    def __init__(self, options: WebOptions) -> None:
        environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters["moment"] = lambda when: _moment(when, options)
        environment.filters["second"] = lambda when: _second(when, options)
        environment.filters["size"] = format_size
        environment.filters["dicom_date"] = date_words
        environment.filters["direction"] = _direction
        environment.globals["zip"] = zip
        environment.globals["institution"] = options.institution
        environment.globals["version"] = VERSION
        self._templates = Jinja2Templates(env=environment)

    def draw(
        self,
        request: Request,
        template: str,
        visitor: Visitor | None = None,
        values: Mapping[str, object] = MappingProxyType({}),
        *,
        status: int = 200,
    ) -> HTMLResponse:
        """Return the page `template` with `values`, for `visitor`."""
        context = {"visitor": visitor, **values}
        return self._templates.TemplateResponse(request, template, context, status_code=status)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Everything that a page's handlers are given."""

    options: WebOptions
    sources: WebSources
    gate: Gate
    pages: Pages

    @property
    def store(self) -> Store:
        """Return the one store."""
        return self.sources.store

    def saw(self, visitor: Visitor, action: str, study: str | None, detail: str = "") -> None:
        """Write a look into the audit."""
        self.store.audit.record(visitor.account, action, study, detail)


async def posted(request: Request) -> Mapping[str, Sequence[str]]:
    """Return the posted text fields, all values by name. A FastAPI dependency."""
    form: FormData = await request.form(max_files=0, max_fields=MAX_FIELDS)
    return {key: [v for v in form.getlist(key) if isinstance(v, str)] for key in form}


def first(fields: Mapping[str, Sequence[str]], name: str) -> str:
    """Return the first value of a field, or ""."""
    return next(iter(fields.get(name, ())), "")


def is_htmx(request: Request) -> bool:
    """Return whether a part of a page is asked for, not the whole."""
    return request.headers.get("HX-Request") == "true"


def see_other(url: str) -> Response:
    """Return a redirect after which a reload does not post again."""
    return Response(status_code=303, headers={"Location": url})


def _direction(letters: str) -> str:
    """Return the words for a letter of Patient Orientation, for instance "head left"."""
    return " ".join(_DIRECTIONS.get(letter, letter) for letter in letters)


def _moment(when: datetime | None, options: WebOptions) -> str:
    if when is None:
        return ""
    return when.astimezone(options.time_zone).strftime("%Y-%m-%d %H:%M")


def _second(when: datetime | None, options: WebOptions) -> str:
    if when is None:
        return ""
    return when.astimezone(options.time_zone).strftime("%Y-%m-%d %H:%M:%S")
