"""What a peer asks for: a pipeline by name or as text, with properties it may override."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from xml.sax.saxutils import escape, quoteattr

import ismrmrd

from gadgets.errors import PipelineError
from gadgets.foreign import foreign_names
from gadgets.gadget import REGISTRY, gadget_class
from pipelines.chain.pipeline import installed_xml, resolve
from pipelines.chain.xml import Chain, read_chain
from pipelines.protocol.messages import text_of
from pipelines.protocol.wire import Id, Message

NAMING = ("config", "customconfig")  # parameters that name another pipeline, the later one wins


class Request:
    """A scan as asked for. Raises `PipelineError` for pipelines that are not installed and text that is no chain."""

    def __init__(self, config: Message) -> None:
        text = text_of(config)
        self.name = text.strip().removesuffix(".xml") if config.id == Id.CONFIG_FILE or not _is_xml(text) else None
        self.chain = read_chain(installed_xml(self.name) if self.name is not None else text)

    @property
    def is_from_gadgetron(self) -> bool:
        """Whether this is the inner chain that Gadgetron gives its module."""
        return self.name is None and self.chain.dialect == "bare"

    def override(self, parameters: str) -> None:
        """Apply JSON parameters: another pipeline, or values for `Gadget.property`. Raises `PipelineError`.

        Only properties the gadget declares can be set; the worker checks names and values when it builds the chain.
        Parameters that name no gadget of the chain are the scanner's own and are left alone.
        """
        try:
            given = json.loads(parameters)
            json.dumps(given, ensure_ascii=False).encode()  # half a surrogate pair is no text that can be sent on
        except (ValueError, RecursionError):
            return  # a text, not parameters
        given = given.get("parameters", given) if isinstance(given, dict) else {}
        if not isinstance(given, dict):
            raise PipelineError(f"parameters are a JSON {type(given).__name__}, expected an object")
        for key in NAMING:
            if given.get(key) and str(given[key]) != "default":
                self.name = str(given[key]).strip().removesuffix(".xml")
                self.chain = read_chain(installed_xml(self.name))
        nodes = list(self.chain.nodes)
        for key, value in given.items():
            gadget, dot, name = str(key).partition(".")
            for index, node in enumerate(nodes):
                if dot and node.classname == gadget:
                    nodes[index] = replace(node, properties={**node.properties, name: str(value)})
        self.chain = replace(self.chain, nodes=tuple(nodes))

    def xml(self) -> str:
        """Write the chain as a worker reads it. Raises `PipelineError` if it ends with what clients cannot read."""
        name = self.chain.nodes[-1].classname
        if name not in REGISTRY and name in foreign_names():
            return chain_xml(self.chain)  # what other packages bring is imported in workers alone
        last = gadget_class(name)
        if not self.is_from_gadgetron and ismrmrd.Image not in last.emits:
            kinds = ", ".join(kind.__name__ for kind in last.emits)
            raise PipelineError(f"{last.label()} ends the chain and emits {kinds}, but clients read only images")
        return chain_xml(self.chain)


def chain_xml(chain: Chain) -> str:
    """Write a chain in the bare dialect. Raises `PipelineError` for a reference that leads nowhere."""
    gadgets = []
    for node in chain.nodes:
        values = resolve(node, chain.nodes).items()
        properties = "".join(f"<property name={quoteattr(n)} value={quoteattr(v)}/>" for n, v in values)
        gadgets.append(f"<gadget><classname>{escape(node.classname)}</classname>{properties}</gadget>")
    return f"<configuration>{''.join(gadgets)}</configuration>"


def looks_like_parent(config: Message) -> bool:
    """Whether the inner chain of an external node came, be it one that we can read or not."""
    text = text_of(config)
    return config.id == Id.CONFIG_TEXT and re.search(r"<configuration\b", text) is not None and "<stream" not in text


def _is_xml(text: str) -> bool:
    return re.match(r"\s*<", text) is not None
