"""Chains from XML, of version 2, legacy, or bare as an external node is given one; and back, bare."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import defusedxml.ElementTree
from defusedxml.common import DefusedXmlException

from gadgets.errors import PipelineError
from pipelines.chain.chain import Chain, External, Form, Node, resolve

LARGEST_XML, DEEPEST, MOST_NODES = 1_000_000, 20, 500  # bytes; the largest that Gadgetron ships has 30,000
BRANCHES = ("parallel", "distributed", "parallelprocess", "puredistributed", "purestream", "branch", "merge")
IGNORED = {"version 2": (), "legacy": ("reader", "writer"), "bare": ("version",)}


def read_chain(text: str | bytes) -> Chain:
    """Read a chain. Raises `PipelineError` if it is not XML, no known form, or branches."""
    root = _parse(text.encode() if isinstance(text, str) else text)
    tag = _tag(root)
    if tag == "gadgetronStreamConfiguration":
        return _Found("legacy").chain(root)
    if tag != "configuration":
        raise PipelineError(
            f"pipeline XML: root is <{tag}>, expected <configuration> or <gadgetronStreamConfiguration>"
        )
    stream = _child(root, "stream")
    if stream is None:
        return _Found("bare").chain(root)
    version = _text(root, "version")
    if version != "2":
        raise PipelineError(f"pipeline XML: version is '{version}', expected 2")
    sections = {name: _child(root, name) for name in ("readers", "writers")}
    absent = tuple(name for name, section in sections.items() if section is None or len(section) == 0)
    return replace(_Found("version 2").chain(stream), absent=absent)


def write_chain(chain: Chain) -> str:
    """Write a chain bare. Raises `PipelineError` for a reference that leads nowhere."""
    gadgets = []
    for node in chain.nodes:
        values = resolve(node, chain.nodes).items()
        properties = "".join(f"<property name={quoteattr(n)} value={quoteattr(v)}/>" for n, v in values)
        gadgets.append(f"<gadget><classname>{escape(node.classname)}</classname>{properties}</gadget>")
    return f"<configuration>{''.join(gadgets)}</configuration>"


def _parse(text: bytes) -> Any:
    if len(text) > LARGEST_XML:
        raise PipelineError(f"pipeline XML has {len(text):,} bytes, at most {LARGEST_XML:,} are accepted")
    try:
        root = defusedxml.ElementTree.fromstring(text, forbid_dtd=True)
    except DefusedXmlException as error:
        raise PipelineError("pipeline XML: document types and entities are not accepted") from error
    except (defusedxml.ElementTree.ParseError, ValueError, LookupError) as error:
        raise PipelineError(f"pipeline XML: {error}") from error
    level, depth = [root], 0
    while level:
        level, depth = [child for element in level for child in element], depth + 1
        if depth > DEEPEST:
            raise PipelineError(f"pipeline XML is nested more than {DEEPEST} deep")
    return root


@dataclass
class _Found:
    """What has been read so far."""

    form: Form
    nodes: list[Node] = field(default_factory=list)
    externals: list[External] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def chain(self, parent: Any) -> Chain:
        self._line(parent, IGNORED[self.form], is_external=self.form == "bare")
        if len(self.nodes) > MOST_NODES:
            raise PipelineError(f"pipeline XML has {len(self.nodes):,} gadgets, at most {MOST_NODES} are accepted")
        return Chain(self.form, tuple(self.nodes), tuple(self.externals), remarks=tuple(self.remarks))

    def _line(self, parent: Any, ignored: tuple[str, ...], is_external: bool) -> None:
        n_before = len(self.nodes)
        for element in parent:
            tag = _tag(element)
            if tag == "gadget":
                self.nodes.append(self._node(element, is_external))
            elif tag == "external":
                self._external(element)
            elif tag in BRANCHES:
                raise PipelineError(f"<{tag}> is not supported: a chain must be one line of gadgets")
            elif tag not in ignored:
                self.remarks.append(f"<{tag}> is not known here and is ignored")
        if len(self.nodes) == n_before:
            raise PipelineError(f"<{_tag(parent)}> holds 0 gadgets, at least 1 expected")

    def _external(self, element: Any) -> None:
        if self.form == "legacy":
            self.remarks.append("<external> is not read by Gadgetron in the legacy form; write version 2")
        how = {tag: _child(element, tag) for tag in ("execute", "connect")}
        self.externals.append(External(**{tag: None if e is None else dict(e.attrib) for tag, e in how.items()}))
        configuration = _child(element, "configuration")
        if configuration is None:
            raise PipelineError("<external> has no <configuration>: our host would receive no gadgets")
        self._line(configuration, (), is_external=True)

    def _node(self, element: Any, is_external: bool) -> Node:
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
                self.remarks.append(f"{classname}.{name} is given twice; the last one counts")
            if self.form == "legacy" and item.attrib:
                self.remarks.append(f"{classname}.{name} is written as attributes, which Gadgetron does not read in "
                                    "the legacy form; write <name> and <value>")  # fmt: skip
            properties[name] = value
        name, dll = _text(element, "name") or None, _text(element, "dll") or None
        return Node(classname, properties, name, dll, is_external)


def _tag(element: Any) -> str:
    return str(element.tag).rsplit("}", 1)[-1]


def _child(element: Any, tag: str) -> Any:
    return next((child for child in element if _tag(child) == tag), None)


def _text(element: Any, tag: str) -> str:
    child = _child(element, tag)
    return (child.text or "").strip() if child is not None else ""
