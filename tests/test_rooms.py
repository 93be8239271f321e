"""No circle, neither of modules nor of rooms, and imports run one way through the rooms: downwards.

A room is a folder of a floor, with what it has inside; a module that stands loose on a floor is a room by itself.
Imports inside functions count: a circle that is only closed late is a circle.
"""

import ast
import graphlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = ("kband_core", "gadgets", "pipelines")

# Lowest first; each may import what stands in lines above it, and nothing of its own line. The floors themselves are
# guarded by test_floors.py; what is not named here may be imported by anybody, as long as no circle comes of it.
ORDER = (
    {"gadgets.coils", "gadgets.receiving"},
    {"gadgets.images", "gadgets.epi", "gadgets.active"},
    {"gadgets.recon", "gadgets.stock"},
    {"gadgets"},  # registers what stands in the rooms
    {"pipelines.chain", "pipelines.simulation"},
    {"pipelines.protocol"},
    {"pipelines.files"},
    {"pipelines.export", "pipelines.design", "pipelines.jobs"},
    {"pipelines.evaluation", "pipelines.planes"},
    {"pipelines.pictures", "pipelines.installation"},
    {"pipelines.hosts"},
    {"pipelines.replay", "pipelines.page", "pipelines.api", "pipelines.scanner"},
    {"pipelines.commands"},
    {"pipelines.cli"},
)

Graph = dict[str, set[str]]


def sources() -> dict[str, str]:
    """Module → source of the whole house."""
    files = [path for floor in FLOORS for path in sorted((ROOT / floor).rglob("*.py"))]
    names = (".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in files)
    return {name: path.read_text() for name, path in zip(names, files, strict=True)}


def modules(files: dict[str, str]) -> Graph:
    """Which modules import which others."""
    graph: Graph = {}
    for name, source in files.items():
        imported: set[str] = set()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                below = {f"{node.module}.{alias.name}" for alias in node.names}
                imported |= below if below <= files.keys() else {node.module, *below}
        graph[name] = imported & files.keys() - {name}
    return graph


def rooms(graph: Graph, files: dict[str, str]) -> Graph:
    """The same between rooms."""
    folders = {name.rpartition(".")[0] for name in files if name.count(".") > 1}

    def room(name: str) -> str:
        first_two = ".".join(name.split(".")[:2])
        return first_two if first_two in folders else name

    between: Graph = {room(name): set() for name in files}
    for name, imported in graph.items():
        between[room(name)] |= {room(other) for other in imported} - {room(name)}
    return between


def circle(graph: Graph) -> list[str]:
    """The modules or rooms of a circle, if there is one."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def upward(graph: Graph) -> set[tuple[str, str]]:
    """Imports between rooms of ORDER that do not run downwards."""
    level = {name: number for number, line in enumerate(ORDER) for name in line}
    return {
        (name, other)
        for name in level.keys() & graph.keys()
        for other in level.keys() & graph[name]
        if level[name] <= level[other]
    }


def test_no_circle_of_modules():
    """What imports one another can be neither understood nor tested alone."""
    assert circle(modules(sources())) == []


def test_no_circle_of_rooms():
    """Two rooms that need one another are one room with a wall in it."""
    files = sources()
    assert circle(rooms(modules(files), files)) == []


def test_imports_run_downwards():
    """A line enters each room once, on its way to the image."""
    files = sources()
    between = rooms(modules(files), files)
    assert upward(between) == set()
    assert {room for line in ORDER for room in line} <= between.keys()


def test_loose_modules_of_the_second_floor_need_no_room():
    """The contract, gadget and items, is read first: it must not lead into the rooms."""
    files = sources()
    between = rooms(modules(files), files)
    loose = {name for name in files if name.startswith("gadgets.") and name.count(".") == 1 and name in between}
    folders = {room for line in ORDER for room in line if room.startswith("gadgets")}
    assert {name: between[name] & folders for name in loose - folders} == {name: set() for name in loose - folders}


MADE_UP = {
    "pipelines": "",
    "pipelines.chain": "",
    "pipelines.chain.run": "import pipelines.chain.turns",
    "pipelines.chain.turns": "def f():\n    from pipelines.hosts import client",
    "pipelines.hosts": "",
    "pipelines.hosts.client": "from pipelines.files.stream import lines",
    "pipelines.files": "",
    "pipelines.files.stream": "import os\nfrom pipelines.packages import OURS",
    "pipelines.packages": "",
}


@pytest.mark.parametrize(
    ("changed", "in_modules", "in_rooms"),
    [
        ({}, False, False),
        ({"pipelines.files.stream": "def f():\n    from pipelines.chain import run"}, True, True),
        ({"pipelines.files.stream": "import pipelines.chain"}, False, True),
        ({"pipelines.packages": "from pipelines.hosts import client"}, True, True),
    ],
)
def test_circles_are_found(changed, in_modules, in_rooms):
    """A guard that cannot fail guards nothing."""
    files = {**MADE_UP, **changed}
    graph = modules(files)
    assert (bool(circle(graph)), bool(circle(rooms(graph, files)))) == (in_modules, in_rooms)
    assert ("pipelines.chain", "pipelines.hosts") in upward(rooms(graph, files))
