"""What a peer asks for: a pipeline by name or as text, with properties it may override."""

from __future__ import annotations

import json
import re

from gadgets.errors import PipelineError
from gadgets.foreign import foreign_names
from gadgets.gadget import REGISTRY, gadget_class
from pipelines.chain.chain import with_properties
from pipelines.chain.pipeline import ending_problem, installed_xml
from pipelines.chain.xml import read_chain, write_chain
from pipelines.protocol.framing import Id, Message
from pipelines.protocol.messages import text_of

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
        return self.name is None and self.chain.form == "bare"

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
        names = {f"{node.classname}." for node in self.chain.nodes}
        ours = {key: str(value) for key, value in given.items() if key.startswith(tuple(names))}
        self.chain = with_properties(self.chain, ours)

    def xml(self) -> str:
        """Write the chain as a worker reads it. Raises `PipelineError` if it ends with what clients cannot read."""
        name = self.chain.nodes[-1].classname
        if self.is_from_gadgetron or (name not in REGISTRY and name in foreign_names()):
            return write_chain(self.chain)  # what other packages bring is imported in workers alone
        if problem := ending_problem(gadget_class(name)):
            raise PipelineError(f"{problem}, but clients read only images")
        return write_chain(self.chain)


def looks_like_parent(config: Message) -> bool:
    """Whether the inner chain of an external node came, be it one that we can read or not."""
    text = text_of(config)
    return config.id == Id.CONFIG_TEXT and re.search(r"<configuration\b", text) is not None and "<stream" not in text


def _is_xml(text: str) -> bool:
    return re.match(r"\s*<", text) is not None
