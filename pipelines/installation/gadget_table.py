"""The table of all gadgets, for `kband doctor --gadgets` and the README of `gadgets`."""

from __future__ import annotations

import gadgets  # noqa: F401 - registers every gadget
from gadgets.gadget import REGISTRY, Gadget, Property

COLUMNS = ("gadget", "accepts", "emits", "property", "type", "default", "meaning")


def gadget_table() -> str:
    """Write the gadgets of this package as a Markdown table, a row for each property: ours first, then the twins."""
    known = {kind for kind in REGISTRY.values() if kind.__module__.startswith("gadgets.")}
    rows = [COLUMNS, ("---",) * len(COLUMNS)]
    for kind in sorted(known, key=lambda kind: (kind.twin_of is not None, kind.label())):
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
