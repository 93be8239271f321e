"""Find what is wrong with a pipeline's XML, above all what Gadgetron says nothing about."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Literal

from gadgets.errors import PipelineError
from gadgets.foreign import foreign_names
from gadgets.gadget import REGISTRY, Gadget, gadget_class
from gadgets.items import ReconData
from gadgets.mrd import ismrmrd
from pipelines.chain.chain import Chain, External, Node, resolve
from pipelines.chain.pipeline import ending_problem, folded_problem, neighbour_problem
from pipelines.chain.xml import read_chain
from pipelines.packages import OUR_PACKAGES


@dataclass(frozen=True)
class Finding:
    """One flaw. *error*: the chain cannot work, here or in Gadgetron; *warning*: it works otherwise than it reads."""

    severity: Literal["error", "warning"]
    sentence: str


def lint(text: str | bytes) -> list[Finding]:
    """List every flaw of a chain; of XML that cannot be read as a chain, the first."""
    try:
        chain = read_chain(text)
    except PipelineError as error:
        return [_error(str(error))]
    found = [_class(node.classname) for node in chain.nodes]
    classes = [None if isinstance(kind, Finding) else kind for kind in found]
    findings = [*map(_warning, chain.remarks), *_sections(chain), *_externals(chain.externals)]
    findings += [problem for problem in found if isinstance(problem, Finding)]
    for node, kind in zip(chain.nodes, classes, strict=True):
        findings += [*_place(node, kind), *_references(node, chain.nodes), *_properties(node, kind, chain.nodes)]
    return [*findings, *_order(chain, classes), *_untrimmed(chain)]


def _error(sentence: str) -> Finding:
    return Finding("error", sentence)


def _warning(sentence: str) -> Finding:
    return Finding("warning", sentence)


def _sections(chain: Chain) -> Iterator[Finding]:
    verbs = {"readers": "read", "writers": "write"}
    yield from (_warning(f"no <{name}>: Gadgetron will {verbs[name]} nothing") for name in chain.absent)


def _externals(externals: tuple[External, ...]) -> Iterator[Finding]:
    if len(externals) > 1:
        yield _warning(f"{len(externals)} <external> nodes: each is a process of its own, and neither calibration nor "
                       "coil maps pass from one to the next; put their gadgets into one")  # fmt: skip
    for external in externals:
        if external.execute is None and external.connect is None:
            yield _error("<external> has neither <execute> nor <connect>: Gadgetron cannot start it")
        if external.execute is not None:
            yield from _execute(external.execute)
        if external.connect is not None and not external.connect.get("port"):
            yield _error("<connect> has no port: Gadgetron cannot reach the module")


def _execute(attributes: dict[str, str]) -> Iterator[Finding]:
    missing = [name for name in ("name", "target", "type") if not attributes.get(name)]
    yield from (_error(f"<execute> has no {name}: Gadgetron cannot start the module") for name in missing)
    module, target = attributes.get("name", ""), attributes.get("target", "")
    if module.partition(".")[0] not in OUR_PACKAGES:
        return  # foreign code is not imported
    # only warnings: Gadgetron may start another Python than this one
    consequence = "so a Gadgetron with this Python cannot start it"
    try:
        callables = [name for name, value in vars(importlib.import_module(module)).items() if callable(value)]
    except ImportError as error:
        yield _warning(f"<execute>: '{module}' cannot be imported here ({error}), {consequence}")
        return
    if target and target not in callables:
        yield _warning(f"<execute>: '{module}' has no '{target}' here, {consequence}{_close(target, callables)}")


def _class(name: str) -> type[Gadget] | Finding:
    """Find the gadget of a name, or say why there is none."""
    try:
        return gadget_class(name)
    except PipelineError as error:
        foreign = foreign_names()
        if name in foreign:
            return _error(str(error))
    close = _close(name, {known.label() for known in REGISTRY.values()} | foreign)
    return _error(f"no gadget '{name}'{close or '; kband doctor --gadgets lists them'}")


def _place(node: Node, kind: type[Gadget] | None) -> Iterator[Finding]:
    """Who runs a gadget where it stands, and what it needs there."""
    if node.is_external:
        if node.name:
            yield _warning(f"{node.classname} inside <external> is named '{node.name}': Gadgetron takes it for one of "
                           "its own gadgets; leave the <name> out")  # fmt: skip
    elif kind and kind.twin_of is None:
        yield _error(f"{node.classname} stands outside <external>, but Gadgetron has no such gadget; put it inside")
    elif kind and node.classname != kind.twin_of:
        yield _error(f"{node.classname} stands outside <external>, where Gadgetron knows it as {kind.twin_of}")
    elif not node.dll:
        yield _error(f"{node.classname} has no <dll>: Gadgetron cannot load it")


def _references(node: Node, nodes: tuple[Node, ...]) -> Iterator[Finding]:
    for name, value in node.properties.items():
        if "@" not in value:
            continue
        if node.is_external:
            yield _error(f"{node.classname}.{name}: '{value}' is a reference, which Gadgetron does not resolve inside "
                         "<external>; write the value")  # fmt: skip
        elif isinstance(resolved := _resolved(node, name, nodes), PipelineError):
            consequence = "refuses the pipeline" if node.name else "makes it empty without a word"
            yield _error(f"{resolved}; Gadgetron {consequence}")


def _resolved(node: Node, name: str, nodes: tuple[Node, ...]) -> str | PipelineError:
    try:
        return resolve(replace(node, properties={name: node.properties[name]}), nodes)[name]
    except PipelineError as error:
        return error


def _properties(node: Node, kind: type[Gadget] | None, nodes: tuple[Node, ...]) -> Iterator[Finding]:
    if kind is None:
        return
    known = [declared.name for declared in kind.properties()]
    values: dict[str, str] = {}
    for name in node.properties:
        resolved = _resolved(node, name, nodes)
        if name in kind.stock_only:
            yield _stock_only(f"{kind.label()}.{name}", node.is_external)
        elif name not in known:
            close = _close(name, known) or f"; properties are {', '.join(sorted(known)) or 'none'}"
            yield _error(f"{kind.label()}.{name}: no such property{close}")
        elif isinstance(resolved, str):
            values[name] = resolved
    yield from _refused(kind, values)


def _stock_only(where: str, is_external: bool) -> Finding:
    if is_external:
        return _error(f"{where}: honoured only by Gadgetron's own gadget, not by its twin inside <external>")
    return _warning(f"{where}: honoured inside Gadgetron, refused by the runner here")


def _refused(kind: type[Gadget], values: dict[str, str]) -> Iterator[Finding]:
    """Take out each property that the gadget refuses, until it accepts the rest; then see what they name."""
    refused: set[str | None] = set()
    while True:
        try:
            gadget = kind.from_properties({name: value for name, value in values.items() if name not in refused})
            yield from _not_found(gadget)
            return
        except PipelineError as error:
            if error.property in refused:
                return  # a property that must be given: what was wrong with it has been said
            yield _error(str(error))
            refused.add(error.property)


def _not_found(gadget: Gadget) -> Iterator[Finding]:
    try:
        gadget.look_up()
    except PipelineError as error:
        yield _error(str(error))


def _order(chain: Chain, classes: list[type[Gadget] | None]) -> Iterator[Finding]:
    arriving = (ismrmrd.Acquisition, ReconData) if chain.form == "bare" else (ismrmrd.Acquisition,)
    first, last = classes[0], classes[-1]
    if first and not set(first.accepts) & set(arriving):
        yield _error(f"{first.label()} is the first gadget and accepts {_names(first.accepts)}, but "
                     f"{_names(arriving)} arrives")  # fmt: skip
    for before, after in itertools.pairwise(classes):
        if before and after and (problem := neighbour_problem(before, after)):
            yield _error(problem)
    if problem := folded_problem(classes):
        yield _error(problem)
    if last and chain.form != "bare" and (problem := ending_problem(last)):
        yield _error(f"{problem}, which Gadgetron drops for want of a writer; a chain must end with Image")


def _untrimmed(chain: Chain) -> Iterator[Finding]:
    """Gadgetron's own gadget crops the samples and leaves their places; our twin takes both."""
    trimmed = False
    for node in chain.nodes:
        trimmed |= node.classname == "RemoveROOversamplingGadget" and not node.is_external
        if trimmed and node.classname == "TrajectoryBuffer":
            yield _warning("RemoveROOversamplingGadget before TrajectoryBuffer: Gadgetron's own crops the samples, but "
                           "not their trajectory; leave it out")  # fmt: skip


def _names(kinds: Iterable[type]) -> str:
    return " or ".join(kind.__name__ for kind in kinds)


def _close(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, sorted(known), n=2)
    return f"; close is {' or '.join(close)}" if close else ""
