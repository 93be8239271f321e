"""One scan of a scanner that is told what to measure: here in this process, or with a server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gadgets.active.active_acquisition import ActiveAcquisition
from gadgets.errors import PipelineError, ScanError
from gadgets.items import Aside
from gadgets.scan import Scan
from pipelines.chain.chain import Chain, with_properties
from pipelines.chain.pipeline import Pipeline, load_xml
from pipelines.chain.run import run
from pipelines.chain.side_road import log_aside
from pipelines.chain.verdict import Verdict
from pipelines.chain.xml import read_chain
from pipelines.files.mrd_file import ImageFile
from pipelines.hosts.client import Client, Target
from pipelines.scanner.inbox import Inbox
from pipelines.scanner.owned_scan import OwnedScan
from pipelines.scanner.scanner import Scanner, Terms


@dataclass(frozen=True)
class Asked:
    """What the scan is to be sent to: a pipeline with other properties, here or at an address."""

    pipeline: str
    parameters: Mapping[str, str]
    address: tuple[str, int] | None = None


def run_active(scan: OwnedScan, asked: Asked, terms: Terms, images: Path) -> tuple[Scanner, str | None]:
    """Measure a scan and write its images; return what the scanner did, and what went wrong.

    Raises `PipelineError` if the pipeline chooses no lines, or cannot take the scan.
    """
    scanner, verdict, problem = Scanner(scan, Inbox(), terms), Verdict(), None
    road = _here(scanner, asked, verdict) if asked.address is None else _there(scanner, asked, verdict)
    with ImageFile(images, scan.header_xml, overwrite=True) as sink:
        try:
            for image in road:
                sink.append(image)
        except ScanError as error:
            problem = str(error)
    return scanner, problem or verdict.flaw


def _here(scanner: Scanner, asked: Asked, verdict: Verdict) -> Iterator[Any]:
    """Each line passes the chain before the next one is measured, so its decision is there, or never will be."""
    pipeline = Pipeline.from_chain(with_properties(_choosing(asked), asked.parameters))

    def hear(aside: Aside) -> None:
        if aside.waveform is not None:
            scanner.inbox.put(aside.waveform)
        log_aside(aside)

    return run(pipeline, Scan.from_xml(scanner.scan.header_xml), scanner.lines(), verdict, hear=hear)


def _there(scanner: Scanner, asked: Asked, verdict: Verdict) -> Iterator[Any]:
    host, port = asked.address
    is_file = Path(asked.pipeline).suffix == ".xml"
    parameters = {**asked.parameters, "ActiveAcquisition.feedback": "scanner"}
    xml = load_xml(asked.pipeline) if is_file else None
    target = Target(host, port, asked.pipeline, xml, "fire", parameters)
    return Client(target, feedback=scanner.inbox.put).run(scanner.scan.header_xml, scanner.lines(), verdict)


def _choosing(asked: Asked) -> Chain:
    chain = read_chain(load_xml(asked.pipeline))
    if not any(node.classname == ActiveAcquisition.label() for node in chain.nodes):
        raise PipelineError(f"{asked.pipeline}: no ActiveAcquisition in it, so nobody says which line comes next")
    return chain
