"""A scan and the chain that it goes through, whatever it was given as."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from typing import Any

from gadgets.errors import PipelineError
from gadgets.gadget import gadget_class
from gadgets.mrd import ismrmrd
from gadgets.scan import Scan
from pipelines.chain.chain import Chain, with_properties
from pipelines.chain.choice import choose
from pipelines.chain.pipeline import load_xml
from pipelines.chain.xml import read_chain
from pipelines.files.mrd_stream import open_raw

AUTO = "auto"
Lines = Iterator[ismrmrd.Acquisition]


@contextmanager
def opened(path: str | PathLike) -> Iterator[tuple[Scan, Lines]]:
    """Open a raw file. Raises `FileProblem`, also where a damaged file cannot be read on."""
    with open_raw(path) as raw:
        yield Scan.from_xml(raw.header_xml), iter(raw)


def chain_for(scan: Scan, lines: Lines, pipeline: str, properties: Mapping[str, Any]) -> tuple[Chain, Lines]:
    """Return the chain of a pipeline, or of the one that `auto` chooses, with its properties set, and all the lines."""
    if pipeline == AUTO:
        choice, lines = choose(scan, lines)
        pipeline = choice.pipeline
    chain = read_chain(load_xml(pipeline))
    return with_properties(chain, {_full_name(chain, name): _text(value) for name, value in properties.items()}), lines


def _full_name(chain: Chain, name: str) -> str:
    """Name the gadget as well, where only one has such a property. Raises `PipelineError`."""
    if "." in name:
        return name
    kinds = [gadget_class(node.classname) for node in chain.nodes]
    having = [kind.label() for kind in kinds if name in {declared.name for declared in kind.properties()}]
    if len(having) != 1:
        found = (
            f"{' and '.join(having)} have it; write **{{'{having[0]}.{name}': ...}}" if having else "no gadget has it"
        )
        raise PipelineError(f"property '{name}': {found}")
    return f"{having[0]}.{name}"


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
