"""The page ARCHITECTURE.md and the imports of the code say the same."""

import re
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| `([\w.]+)` \| [^|]+ \|([^|]*)\|$", re.MULTILINE)
TOP = ("appliance", "scp", "pipelines", "results_store", "feedback")


def _documented() -> dict[str, frozenset[str]]:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    return {
        room: frozenset(re.findall(r"`([\w.]+)`", arrows)) for room, arrows in ROW.findall(text)
    }


def _room_of(module: str, rooms: frozenset[str]) -> str | None:
    while module and module not in rooms:
        module = module.rpartition(".")[0]
    return module or None


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*TOP, cache_dir=None)


def test_every_module_lives_in_a_room_of_the_page(graph: grimp.ImportGraph) -> None:
    rooms = frozenset(_documented())
    homeless = {
        module
        for module in graph.modules
        if _room_of(module, rooms) is None and module not in {"appliance", "appliance.__main__"}
    }
    assert not homeless


def test_the_arrows_of_the_page_are_the_imports_of_the_code(graph: grimp.ImportGraph) -> None:
    documented = _documented()
    rooms = frozenset(documented)
    actual: dict[str, set[str]] = {room: set() for room in rooms}
    for module in graph.modules:
        room = _room_of(module, rooms)
        if room is None:
            continue
        for imported in graph.find_modules_directly_imported_by(module):
            other = _room_of(imported, rooms)
            if other is not None and other != room:
                actual[room].add(other)
    wrong = {
        room: {"page": sorted(documented[room]), "code": sorted(actual[room])}
        for room in rooms
        if documented[room] != actual[room]
    }
    assert not wrong


def test_no_module_imports_itself_in_a_circle(graph: grimp.ImportGraph) -> None:
    for module in sorted(graph.modules):
        children = graph.find_modules_directly_imported_by(module)
        circle = {c for c in children if graph.find_shortest_chain(c, module)}
        assert not circle, f"{module} is reached again from {circle}"
