"""Read a chain from XML: version 2, the legacy dialect, or the bare chain that an external node is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import defusedxml.ElementTree
from defusedxml.common import DefusedXmlException

from gadgets.errors import PipelineError

LARGEST_XML = 1_000_000  # bytes; the largest that Gadgetron ships has 30,000
BRANCHES = ("parallel", "distributed", "parallelprocess", "puredistributed", "purestream", "branch", "merge")


@dataclass(frozen=True)
class Node:
    """One gadget as written. `is_external`: it stands inside an `<external>` node, which Gadgetron does not look into."""

    classname: str
    properties: dict[str, str]
    name: str | None
    dll: str | None
    is_external: bool


@dataclass(frozen=True)
class Chain:
    """A chain as written, `<external>` flattened in place. `remarks` are flaws of the XML that do not stop it."""

    nodes: tuple[Node, ...]
    remarks: tuple[str, ...] = field(default=())


def read_chain(text: str | bytes) -> Chain:
    """Read a chain. Raises `PipelineError` if it is not XML, not a known dialect, or branches."""
    size = len(text)
    if size > LARGEST_XML:
        raise PipelineError(f"pipeline XML has {size:,} bytes, at most {LARGEST_XML:,} are accepted")
    try:
        root = defusedxml.ElementTree.fromstring(text.encode() if isinstance(text, str) else text, forbid_dtd=True)
    except DefusedXmlException as error:
        raise PipelineError("pipeline XML: document types and entities are not accepted") from error
    except (defusedxml.ElementTree.ParseError, ValueError) as error:
        raise PipelineError(f"pipeline XML: {error}") from error
    tag = _tag(root)
    if tag == "gadgetronStreamConfiguration":
        return _chain(root, ignored=("reader", "writer"))
    if tag != "configuration":
        raise PipelineError(f"pipeline XML: root is <{tag}>, expected <configuration> or <gadgetronStreamConfiguration>")
    stream = _child(root, "stream")
    if stream is None:
        return _chain(root, ignored=("version",), is_external=True)
    version = (root.findtext("{*}version") or root.findtext("version") or "").strip()
    if version != "2":
        raise PipelineError(f"pipeline XML: version is '{version}', expected 2")
    return _chain(stream)


def _chain(parent: Any, ignored: tuple[str, ...] = (), is_external: bool = False) -> Chain:
    nodes: list[Node] = []
    remarks: list[str] = []
    for element in parent:
        tag = _tag(element)
        if tag == "gadget":
            nodes.append(_node(element, is_external, remarks))
        elif tag == "external":
            nodes.extend(_external(element, remarks))
        elif tag in BRANCHES:
            raise PipelineError(f"<{tag}> is not supported: a chain must be one line of gadgets")
        elif tag not in ignored:
            remarks.append(f"<{tag}> is not known here and is ignored")
    if not nodes:
        raise PipelineError(f"<{_tag(parent)}> holds 0 gadgets, at least 1 expected")
    return Chain(tuple(nodes), tuple(remarks))


def _external(element: Any, remarks: list[str]) -> list[Node]:
    execute, connect = _child(element, "execute"), _child(element, "connect")
    if execute is None and connect is None:
        remarks.append("<external> has neither <execute> nor <connect>: Gadgetron cannot start it")
    if execute is not None and not execute.get("target"):
        remarks.append("<execute> has no target: Gadgetron will not know which function to call")
    configuration = _child(element, "configuration")
    if configuration is None:
        raise PipelineError("<external> has no <configuration>: our host would receive no gadgets")
    inner = _chain(configuration, is_external=True)
    remarks.extend(inner.remarks)
    return list(inner.nodes)


def _node(element: Any, is_external: bool, remarks: list[str]) -> Node:
    classname = _text(element, "classname")
    if not classname:
        raise PipelineError("a <gadget> has no <classname>")
    properties: dict[str, str] = {}
    for item in element:
        if _tag(item) != "property":
            continue
        name = item.get("name") or _text(item, "name")
        value = item.get("value") if item.get("value") is not None else _text(item, "value")
        if not name:
            raise PipelineError(f"{classname}: a <property> has no name")
        if name in properties:
            remarks.append(f"{classname}.{name} is given twice; the last one counts")
        properties[name] = value or ""
    return Node(classname, properties, _text(element, "name") or None, _text(element, "dll") or None, is_external)


def _tag(element: Any) -> str:
    return str(element.tag).rsplit("}", 1)[-1]


def _child(element: Any, tag: str) -> Any:
    return next((child for child in element if _tag(child) == tag), None)


def _text(element: Any, tag: str) -> str:
    child = _child(element, tag)
    return (child.text or "").strip() if child is not None else ""
