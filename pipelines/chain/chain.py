"""A chain as a value: its gadgets as they are written, whose properties can be set before anything is built."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from gadgets.errors import PipelineError

Form: TypeAlias = Literal["version 2", "legacy", "bare"]


@dataclass(frozen=True)
class Node:
    """One gadget as written. `is_external`: it stands inside `<external>`, which Gadgetron does not look into."""

    classname: str
    properties: dict[str, str]
    name: str | None
    dll: str | None
    is_external: bool


@dataclass(frozen=True)
class External:
    """Attributes of `<execute>`, by which Gadgetron starts a module, and of `<connect>`, by which it finds one."""

    execute: dict[str, str] | None
    connect: dict[str, str] | None


@dataclass(frozen=True)
class Chain:
    """A chain as written, `<external>` flattened in place.

    `form`: the XML that it was written in. `absent` names the sections that version 2 should have and that are missing
    or empty; `remarks` are other flaws of the XML that do not stop it.
    """

    form: Form
    nodes: tuple[Node, ...]
    externals: tuple[External, ...] = ()
    absent: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def with_properties(chain: Chain, values: Mapping[str, str]) -> Chain:
    """Return the chain with other values for properties, each named `Gadget.property`.

    Whether the gadget has such a property, and takes the value, is seen when it is built. Raises `PipelineError` for a
    gadget that is not in the chain.
    """
    names = [node.classname for node in chain.nodes]
    given: dict[str, dict[str, str]] = {name: {} for name in names}
    for key, value in values.items():
        gadget, _, name = key.partition(".")
        if gadget not in names:
            raise PipelineError(f"no gadget '{gadget}' in the pipeline; it has {', '.join(names)}")
        given[gadget][name] = value
    nodes = (replace(node, properties={**node.properties, **given[node.classname]}) for node in chain.nodes)
    return replace(chain, nodes=tuple(nodes))


def resolve(node: Node, nodes: Iterable[Node]) -> dict[str, str]:
    """Replace values `property@gadget` by that property of the gadget of that name. Raises `PipelineError`."""
    named = {other.name: other for other in nodes if other.name}
    resolved = dict(node.properties)
    for name, value in node.properties.items():
        if "@" not in value:
            continue
        wanted, _, at = value.partition("@")
        if at not in named or wanted not in named[at].properties:
            raise PipelineError(
                f"{node.classname}.{name}: '{value}' refers to nothing; no gadget is named '{at}' with '{wanted}'"
            )
        resolved[name] = named[at].properties[wanted]
    return resolved
