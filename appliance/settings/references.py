"""Names in the file that point to something else in the file, or to nothing.

Works on the plain YAML data, so that these mistakes are told beside all others, also where the
rest of the file is wrong.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from appliance.core.documents import suggest
from appliance.settings.watch import DEFAULT_FORMS
from pipelines.folders import SHIPPED

Mistake = tuple[tuple[str | int, ...], str]


def find_dangling(data: object) -> Iterator[Mistake]:
    """Yield the key and what is wrong for each name that points to nothing, or to two things."""
    if not isinstance(data, Mapping):
        return
    destinations = _keys(data.get("destinations"))
    pipelines = _keys(data.get("pipelines"))
    forms = _forms(data.get("web"))
    yield from _not_shipped(data.get("pipelines"))
    for number, rule in _entries(data.get("fetch")):
        yield from _missing(
            rule.get("from"), ("fetch", number, "from"), destinations, "destination"
        )
    first_use: dict[str, int] = {}
    for number, route in _entries(data.get("routes")):
        here = ("routes", number)
        yield from _name(route, here, first_use)
        yield from _missing(route.get("run"), (*here, "run"), pipelines, "pipeline")
        send, complete = _mapping(route.get("send")), _mapping(route.get("complete"))
        yield from _missing(send.get("to"), (*here, "send", "to"), destinations, "destination")
        query = (*here, "complete", "query")
        yield from _missing(complete.get("query"), query, destinations, "destination")
        if forms is not None:
            yield from _missing(route.get("feedback"), (*here, "feedback"), forms, "form")


def _not_shipped(pipelines: object) -> Iterator[Mistake]:
    for name, pipeline in _mapping(pipelines).items():
        if name not in SHIPPED and not _mapping(pipeline).get("path"):
            advice = suggest(str(name), list(SHIPPED))
            yield ("pipelines", str(name)), f"is not shipped{advice}; or write its path"


def _name(
    route: Mapping[str, object], here: tuple[str | int, ...], first_use: dict[str, int]
) -> Iterator[Mistake]:
    name, number = route.get("name"), here[-1]
    if not isinstance(name, str) or not isinstance(number, int):
        return
    if name in first_use:
        yield (*here, "name"), f"{name!r} is the name of route {first_use[name] + 1} already"
    first_use.setdefault(name, number)


def _missing(
    names: object, path: tuple[str | int, ...], known: list[str], what: str
) -> Iterator[Mistake]:
    if isinstance(names, str) and names not in known:
        yield path, f"{names!r} is no {what} of this file{suggest(names, known)}"
    elif isinstance(names, list):
        for number, name in enumerate(names):
            if isinstance(name, str):
                yield from _missing(name, (*path, number), known, what)


def _keys(data: object) -> list[str]:
    return [str(key) for key in data] if isinstance(data, Mapping) else []


def _mapping(data: object) -> Mapping[str, object]:
    return data if isinstance(data, Mapping) else {}


def _entries(data: object) -> Iterator[tuple[int, Mapping[str, object]]]:
    if isinstance(data, list):
        for number, item in enumerate(data):
            if isinstance(item, Mapping):
                yield number, item


def _forms(web: object) -> list[str] | None:
    """Return the names of the forms in the site's folder; None where there is none to look in."""
    folder = Path(str(_mapping(web).get("forms", DEFAULT_FORMS)))
    if not folder.is_dir():
        return None
    return sorted(path.stem for path in folder.glob("*.yaml"))
