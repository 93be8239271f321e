"""The table of all gadgets, for `kband doctor --gadgets` and the README of `gadgets`."""

from __future__ import annotations

import gadgets  # noqa: F401 - registers every gadget
from gadgets.errors import PipelineError
from gadgets.foreign import foreign_names
from gadgets.gadget import REGISTRY, Gadget, Property, gadget_class

COLUMNS = ("gadget", "accepts", "emits", "property", "type", "default", "meaning")


def gadget_table() -> str:
    """Write the gadgets of this package as a Markdown table, a row for each property: ours first, then the twins."""
    return _table({kind for kind in REGISTRY.values() if kind.__module__.startswith("gadgets.")})


def foreign_table() -> str:
    """Write those that other packages have installed likewise, behind one line for each that cannot be imported."""
    kinds, problems = set(), []
    for name in sorted(foreign_names()):
        try:
            kinds.add(gadget_class(name))
        except PipelineError as problem:
            problems.append(str(problem))
    return "\n\n".join([*problems, *([_table(kinds)] if kinds else [])])


def _table(kinds: set[type[Gadget]]) -> str:
    rows = [COLUMNS, ("---",) * len(COLUMNS)]
    for kind in sorted(kinds, key=lambda kind: (kind.twin_of is not None, kind.label())):
        rows += _rows(kind)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _rows(kind: type[Gadget]) -> list[tuple[str, ...]]:
    accepts, emits = (", ".join(item.__name__ for item in items) for items in (kind.accepts, kind.emits))
    properties = [_property(declared) for declared in kind.properties()] or [("",) * 4]
    first, *others = properties
    return [(f"`{kind.label()}`", accepts, emits, *first), *(("", "", "", *other) for other in others)]


def _property(declared: Property) -> tuple[str, ...]:
    texts = (f"`{declared.name}`", declared.type, declared.default, declared.description)
    return tuple(text.replace("|", r"\|") for text in texts)
