"""What a peer asks for: a pipeline by name or as text, with properties it may override."""

from __future__ import annotations

import json
import re

from gadgets.errors import PipelineError
from gadgets.foreign import foreign_names
from gadgets.gadget import REGISTRY, gadget_class
from gadgets.mrd import ismrmrd
from pipelines.chain.chain import Chain, with_properties
from pipelines.chain.pipeline import ending_problem, installed_pipelines
from pipelines.chain.xml import read_chain, write_chain
from pipelines.protocol import openrecon
from pipelines.protocol.framing import Id, Message
from pipelines.protocol.messages import text_of

NAMING = ("config", "customconfig")  # parameters that name another pipeline, the later one wins
MOST_PARAMETERS, LARGEST_PARAMETERS = 1000, 1 << 20  # values of a scan; bytes of a message


class Request:
    """A scan as asked for. Raises `PipelineError` for pipelines that are not installed and text that is no chain."""

    def __init__(self, config: Message) -> None:
        text = text_of(config)
        self.name = text.strip().removesuffix(".xml") if config.id == Id.CONFIG_FILE or not _is_xml(text) else None
        self._is_openrecon = self.name == openrecon.CONFIGURATION
        if self._is_openrecon:
            self.name = openrecon.UNTIL_ASKED
        self.chain = read_chain(text) if self.name is None else _installed(self.name)
        self._n_parameters = 0

    @property
    def is_from_gadgetron(self) -> bool:
        """Whether this is the inner chain that Gadgetron gives its module."""
        return self.name is None and self.chain.form == "bare"

    @property
    def takes_images(self) -> bool:
        """Whether the chain may begin with images; of a gadget that only workers import nobody knows."""
        name = self.chain.nodes[0].classname
        return name not in REGISTRY or ismrmrd.Image in gadget_class(name).accepts

    def override(self, parameters: str) -> str | None:
        """Apply JSON parameters: another pipeline, or values for `Gadget.property`. Raises `PipelineError`.

        Only properties the gadget declares can be set; the worker checks names and values when it builds the chain.
        Parameters that name no gadget of the chain are the scanner's own and are left alone. Of a text that is no JSON
        nothing is taken; returned is a sentence that says so. Of OpenRecon's parameters those of the label count alone.
        """
        if len(parameters) > LARGEST_PARAMETERS:
            raise PipelineError(f"parameters of {len(parameters):,} bytes, at most {LARGEST_PARAMETERS:,} are accepted")
        if not parameters.strip():
            return None
        try:
            given = json.loads(parameters)
            json.dumps(given, ensure_ascii=False).encode()  # half a surrogate pair is no text that can be sent on
            if not isinstance(given, dict):
                raise ValueError(f"a JSON {type(given).__name__}")
        except (ValueError, RecursionError) as error:
            return f"a text of {len(parameters):,} characters is no JSON object ({error}); nothing is taken from it"
        given = given.get("parameters", given)
        if not isinstance(given, dict):
            raise PipelineError(f"parameters are a JSON {type(given).__name__}, expected an object")
        self._n_parameters += len(given)
        if self._n_parameters > MOST_PARAMETERS:
            raise PipelineError(f"{self._n_parameters:,} parameters, at most {MOST_PARAMETERS:,} are accepted")
        if self._is_openrecon:
            return self._as_openrecon(given)
        for key in NAMING:
            if given.get(key) and str(given[key]) != "default":
                self.name = str(given[key]).strip().removesuffix(".xml")
                self.chain = _installed(self.name)
        names = {node.classname for node in self.chain.nodes}
        ours = {key: str(value) for key, value in given.items() if "." in key and key.partition(".")[0] in names}
        self.chain = with_properties(self.chain, ours)
        return None

    def _as_openrecon(self, given: dict[str, object]) -> str | None:
        if name := openrecon.pipeline_of(given):
            self.name, self.chain = name, _installed(name)
        properties, remark = openrecon.properties_of(given, self.name, self.chain)
        self.chain = with_properties(self.chain, properties)
        return remark

    def xml(self) -> str:
        """Write the chain as a worker reads it. Raises `PipelineError` if it ends with what clients cannot read."""
        if not self.is_from_gadgetron and (problem := _unreadable(self.chain)):
            raise PipelineError(f"{problem}, but clients read only images")
        return write_chain(self.chain)


def _installed(name: str) -> Chain:
    """Read an installed pipeline; never a path. Raises `PipelineError`, which names those that clients can have."""
    installed = installed_pipelines()
    if name in installed:
        return read_chain(installed[name].read_text())
    raise PipelineError(f"no pipeline '{name}'; installed are {', '.join(offered_pipelines())}")


def offered_pipelines() -> list[str]:
    """Name the installed pipelines that clients can have: those that make nothing but images."""
    installed = installed_pipelines().items()
    return [name for name, path in installed if _unreadable(read_chain(path.read_text())) is None]


def _unreadable(chain: Chain) -> str | None:
    """Say what a chain gives besides images, or None; what other packages bring is imported in workers alone."""
    name = chain.nodes[-1].classname
    if name not in REGISTRY and name in foreign_names():
        return None
    return ending_problem(gadget_class(name))


def looks_like_parent(config: Message) -> bool:
    """Whether the inner chain of an external node came, be it one that we can read or not."""
    text = text_of(config)
    return config.id == Id.CONFIG_TEXT and re.search(r"<configuration\b", text) is not None and "<stream" not in text


def _is_xml(text: str) -> bool:
    return re.match(r"\s*<", text) is not None
