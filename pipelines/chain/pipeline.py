"""A chain of gadgets, built from XML, neighbours checked, ready for one scan."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path

import gadgets  # noqa: F401 - registers every gadget
from gadgets.errors import PipelineError
from gadgets.gadget import Gadget, gadget_class
from gadgets.items import Aside, ReconBuffer
from gadgets.mrd import ismrmrd
from gadgets.receiving.multiband_buffer import MultibandBuffer
from gadgets.recon.multiband_sense_recon import MultibandSenseRecon
from gadgets.scan import Scan
from pipelines.chain import chosen_pipeline  # noqa: F401 - registers what stands in auto.xml
from pipelines.chain.chain import Chain, resolve
from pipelines.chain.installed import installed_pipelines
from pipelines.chain.xml import read_chain


class Pipeline:
    """Gadgets in order, for one scan: `open` it with the scan, then `run` it."""

    def __init__(self, chain: list[Gadget]) -> None:
        self.gadgets = chain
        for before, after in itertools.pairwise(chain):
            if problem := neighbour_problem(type(before), type(after)):
                raise PipelineError(problem)
        if problem := folded_problem([type(gadget) for gadget in chain]):
            raise PipelineError(problem)

    @classmethod
    def from_xml(cls, text: str | bytes) -> Pipeline:
        """Build from XML. Raises `PipelineError` for an unknown gadget, a wrong property, or impossible neighbours."""
        return cls.from_chain(read_chain(text))

    @classmethod
    def from_chain(cls, chain: Chain) -> Pipeline:
        """Build from a chain. Raises as `from_xml` does."""
        nodes = chain.nodes
        return cls([gadget_class(node.classname).from_properties(resolve(node, nodes)) for node in nodes])

    def open(self, scan: Scan) -> None:
        """Let every gadget resolve what can fail before the first line. Raises `PipelineError`."""
        for gadget in self.gadgets:
            try:
                gadget.open(scan)
                scan = gadget.scan_behind(scan)
            except ValueError as error:
                raise PipelineError(f"{gadget.label()}: {error}") from error


def neighbour_problem(before: type[Gadget], after: type[Gadget]) -> str | None:
    """Say why one gadget cannot stand behind another, or None if it can."""
    refused = [kind.__name__ for kind in before.emits if kind not in (*after.accepts, Aside)]
    if not refused:
        return None
    accepts = ", ".join(kind.__name__ for kind in after.accepts)
    return f"{after.label()} accepts {accepts}, but {before.label()} before it emits {', '.join(refused)}"


def folded_problem(kinds: Sequence[type[Gadget] | None]) -> str | None:
    """Say which gadget of a chain gets slices that were excited at once and cannot tell them apart, or None."""
    folds = MultibandBuffer in kinds
    for kind in filter(None, kinds):
        unfolds = kind is MultibandSenseRecon
        if folds and not unfolds and ReconBuffer in kind.accepts and ReconBuffer not in kind.emits:
            return f"{kind.label()} cannot tell slices apart that were excited at once; MultibandSenseRecon can"
        if unfolds and not folds:
            return f"{kind.label()} needs MultibandBuffer before it"
    return None


def ending_problem(last: type[Gadget]) -> str | None:
    """Say what a chain that ends with this gadget gives besides images, or None if it gives images alone."""
    others = [kind.__name__ for kind in last.emits if kind not in (ismrmrd.Image, Aside)]
    return f"{last.label()} ends the chain and emits {' or '.join(others)}" if others else None


def load_xml(pipeline: str) -> str | bytes:
    """XML of a file whose name ends in `.xml`, or else of an installed pipeline. Raises `PipelineError`."""
    path = Path(pipeline)
    if path.suffix != ".xml" or not path.is_file():
        return installed_xml(pipeline)
    try:
        return path.read_bytes()
    except OSError as error:
        raise PipelineError(f"{pipeline}: cannot be read ({error.strerror})") from error


def installed_xml(name: str) -> str:
    """Text of an installed pipeline, by name with or without `.xml`. Raises `PipelineError`, never reads a path."""
    installed = installed_pipelines()
    stem = name.removesuffix(".xml")
    if not re.fullmatch(r"\w+", stem) or stem not in installed:
        raise PipelineError(f"no pipeline '{name}'; installed are {', '.join(installed)}")
    return installed[stem].read_text()
