"""What a peer asks for: a pipeline by name or as text, with properties it may override."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from xml.sax.saxutils import escape, quoteattr

from gadgets.errors import PipelineError
from pipelines.hosts.messages import text_of
from pipelines.hosts.wire import Id, Message
from pipelines.pipeline import installed_xml, resolve
from pipelines.pipeline_xml import Chain, read_chain

NAMING = ("config", "customconfig")  # parameters that name another pipeline, the later one wins


class Request:
    """A scan as asked for. Raises `PipelineError` for pipelines that are not installed and text that is no chain."""

    def __init__(self, config: Message) -> None:
        text = text_of(config)
        self.name = text.strip() if config.id == Id.CONFIG_FILE or not _is_xml(text) else None
        self.chain = read_chain(installed_xml(self.name) if self.name is not None else text)

    @property
    def is_from_gadgetron(self) -> bool:
        """Whether this is the inner chain that Gadgetron gives its module."""
        return self.name is None and self.chain.dialect == "bare"

    @property
    def is_dependency_query(self) -> bool:
        """Whether Gadgetron's client only asks for noise of an earlier scan, of which we keep none."""
        return any(node.classname == "NoiseSummaryGadget" for node in self.chain.nodes)

    def override(self, parameters: str) -> None:
        """Apply JSON parameters: another pipeline, or values for `Gadget.property`. Raises `PipelineError`.

        Only properties the gadget declares can be set; the worker checks names and values when it builds the chain.
        Parameters that name no gadget of the chain are the scanner's own and are left alone.
        """
        try:
            given = json.loads(parameters)
        except ValueError:
            return  # a text, not parameters
        given = given.get("parameters", given) if isinstance(given, dict) else {}
        if not isinstance(given, dict):
            raise PipelineError(f"parameters are a JSON {type(given).__name__}, expected an object")
        for key in NAMING:
            if given.get(key) and str(given[key]) != "default":
                self.name = str(given[key]).strip()
                self.chain = read_chain(installed_xml(self.name))
        nodes = list(self.chain.nodes)
        for key, value in given.items():
            gadget, dot, name = str(key).partition(".")
            for index, node in enumerate(nodes):
                if dot and node.classname == gadget:
                    nodes[index] = replace(node, properties={**node.properties, name: str(value)})
        self.chain = replace(self.chain, nodes=tuple(nodes))

    def xml(self) -> str:
        """Write the chain as a worker reads it: flat, references resolved."""
        return chain_xml(self.chain)


def chain_xml(chain: Chain) -> str:
    """Write a chain in the bare dialect. Raises `PipelineError` for a reference that leads nowhere."""
    gadgets = []
    for node in chain.nodes:
        values = resolve(node, chain.nodes).items()
        properties = "".join(f"<property name={quoteattr(n)} value={quoteattr(v)}/>" for n, v in values)
        gadgets.append(f"<gadget><classname>{escape(node.classname)}</classname>{properties}</gadget>")
    return f"<configuration>{''.join(gadgets)}</configuration>"


def _is_xml(text: str) -> bool:
    return re.match(r"\s*<", text) is not None

