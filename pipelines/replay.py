"""Raw files in, images out; reconstructed here, or by a server."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from gadgets.errors import PipelineError, ScanError
from gadgets.items import Aside
from gadgets.mrd import ismrmrd
from gadgets.scan import Scan
from kband_core.plural import counted
from pipelines.chain.account import Account
from pipelines.chain.chain import Chain, with_properties
from pipelines.chain.pace import paced, repetition_ms
from pipelines.chain.pipeline import Pipeline, ending_problem, load_xml
from pipelines.chain.pump import READ_AHEAD, pump
from pipelines.chain.run import run
from pipelines.chain.verdict import Verdict
from pipelines.chain.xml import read_chain
from pipelines.export.formats import ending_of, image_sink, refuse_name
from pipelines.files.finished_file import FileProblem, refuse_existing
from pipelines.files.image_sink import ImageSink
from pipelines.files.mrd_stream import UpToDamage, open_raw
from pipelines.hosts.client import Client, Target
from pipelines.jobs.job import Job, Outcome
from pipelines.jobs.listener import Listener
from pipelines.jobs.many import Tally, files_of, outcomes
from pipelines.jobs.record import remembered
from pipelines.pictures.comparison import compare, map_agreement, reference_of

log = logging.getLogger(__name__)

LONG_WAIT = 1.0  # s for an image

Pace = Callable[..., Iterator[Any]]
Road = Callable[[UpToDamage, Verdict, Account | None, Listener], Iterator[Any]]
SinkAt = Callable[[Path, str], ImageSink]


def replay_all(
    inputs: tuple[Path, ...], pipeline: str, output: str, overwrite: bool, parameters: dict[str, str], pace: str,
    address: tuple[str, int] | None, dialect: Any, deadline: float, form: str, cluster: str | None, resume: bool,
    verbose: bool,
) -> int:  # fmt: skip
    """Replay raw files, as `kband replay` is told; return how many failed. Raises `ClickException`."""
    as_due = at_scanner_pace if pace == "scanner" else at_once
    try:
        if address is None:
            chain = _overridden(read_chain(load_xml(pipeline)), parameters)
            road, made_by = partial(here, chain, as_due), repr(chain.nodes)
        else:
            is_file = pipeline.endswith(".xml") and Path(pipeline).is_file()
            xml = load_xml(pipeline) if is_file else None
            target = Target(*address, pipeline, xml, dialect, parameters, deadline)
            road, made_by = partial(there, target, as_due), f"{pipeline} {xml} {sorted(parameters.items())}"
    except PipelineError as problem:
        raise click.ClickException(str(problem)) from problem
    files, ending = files_of(inputs), Path(pipeline).stem + ending_of(form)
    targets = _targets(files, ending, output, to_folder=any(path.is_dir() for path in inputs))
    jobs = [_job(path, target, form, overwrite, files, resume) for path, target in zip(files, targets, strict=True)]
    work = partial(replay_file, road, partial(image_sink, form=form, made_by=made_by, overwrite=True), verbose)
    if resume:
        work = remembered(work, f"{made_by} {form}")
    tally = Tally()
    with outcomes(work, jobs, cluster) as done:
        for job, outcome in done:
            tally.add(job, outcome)
    if len(jobs) > 1:
        tally.summary(targets[0].parent)
    return len(tally.failures)


def _job(path: Path, target: Path, form: str, overwrite: bool, inputs: Sequence[Path], resume: bool) -> Job:
    try:
        refuse_name(target, form)
        refuse_existing(target, overwrite or resume, inputs=inputs)
    except FileProblem as problem:
        return Job(path, target, refused=str(problem))
    return Job(path, target, may_replace=overwrite or not target.exists())


def _targets(inputs: Sequence[Path], ending: str, named: str, *, to_folder: bool) -> list[Path]:
    """Name the output of each raw file: `named`, or one of its own, with that `ending`, in that folder, which is made.
    """
    output = Path(named)
    to_folder = to_folder or len(inputs) > 1 or named.endswith(os.sep) or output.is_dir()
    targets: dict[Path, Path] = {}
    for path in inputs:
        target = output / f"{path.stem}_{ending}" if to_folder else output
        if target in targets:
            raise click.ClickException(f"{targets[target]} and {path} would both become {target}; replay them apart")
        targets[target] = path
    try:
        if to_folder:
            output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.ClickException(f"{output}: no folder can be made ({error.strerror})") from error
    return list(targets)


def replay_file(road: Road, sink_at: SinkAt, verbose: bool, job: Job, listener: Listener) -> Outcome:
    """Replay one file, and tell what is wrong, if anything is. Of a damaged one, the lines before are replayed.

    Raises `FileProblem`.
    """
    path, account = job.path, Account() if verbose else None
    verdict, started = Verdict(), time.perf_counter()
    with open_raw(path) as raw:
        lines, problem = UpToDamage(raw), None
        reference, to_compare = raw.reference(), []
        with sink_at(job.target, raw.header_xml) as sink:
            try:
                images = road(lines, verdict, account, listener)
                for image in _counted(images) if listener.shows_progress else images:
                    sink.append(image)
                    to_compare += [image] if reference else []
            except (PipelineError, ScanError) as error:
                problem = str(error)
            except FileProblem:
                raise
            except Exception as error:  # of a gadget; the images that it has made are whole
                log.exception("a gadget failed")
                problem = f"internal error, {type(error).__name__}: {error}"
        problem = lines.damage or problem
    if verdict.n_images:
        seconds = time.perf_counter() - started
        n_lines, n_images = counted(verdict.n_lines, "line"), counted(verdict.n_images, "image")
        listener.result(f"{path}: {n_lines}, {n_images} in {seconds:.2f} s, "
                        f"the last {1000 * verdict.latency:.0f} ms after the last line: {job.target}")  # fmt: skip
        for image in sorted(to_compare, key=lambda image: image.image_series_index):
            other = reference_of(image, reference)
            if other is not None and image.image_type == other.image_type:
                listener.result(f"  {_agreement(image, other)} the reference in {path.name}")
    for line in account.text(verdict) if account else ():
        listener.result(f"  {line}")
    return Outcome(problem or verdict.flaw)


def _agreement(image: ismrmrd.Image, reference: ismrmrd.Image) -> str:
    try:
        told = map_agreement(image, reference) if "kband_quantity" in image.meta else compare(image, reference)[2]
        return f"slice {image.slice}: {told} against"
    except ValueError as error:  # some pipelines interpolate, or crop
        return f"{error}, so it is not compared with"


def here(
    chain: Chain, as_due: Pace, raw: UpToDamage, verdict: Verdict, account: Account | None, listener: Listener
) -> Iterator[Any]:
    """Reconstruct in this process, and show what gadgets say; reading goes on while they compute."""
    lines = _progress(pump(as_due(raw), READ_AHEAD), raw, listener)
    scan = Scan.from_xml(raw.header_xml)

    def hear(aside: Aside) -> None:
        if aside.kind != "decision":  # one for each line, and nobody here to follow
            listener.aside(f"{aside.level:<8}{aside.sentence}")

    return run(Pipeline.from_chain(chain), scan, lines, verdict, hear=hear, account=account)


def there(
    target: Target, as_due: Pace, raw: UpToDamage, verdict: Verdict, account: Account | None, listener: Listener
) -> Iterator[Any]:
    """Let a server reconstruct, and show what it says; `account` sees what goes out and comes back."""
    client = Client(target, hear=listener.aside)
    lines = as_due(raw, sleep=client.closed.wait)
    lines = _progress(lines, raw, listener, delay=0)
    if account is None:
        return client.run(raw.header_xml, lines, verdict)
    return account.watched(1, client.run(raw.header_xml, account.watched(0, lines), verdict))


def at_once(raw: UpToDamage, **_: Any) -> Iterator[Any]:
    """Lines as fast as they are taken."""
    return iter(raw)


def at_scanner_pace(raw: UpToDamage, **sleep: Any) -> Iterator[Any]:
    """Lines by their time stamps."""
    return paced(raw, repetition_ms(Scan.from_xml(raw.header_xml)), **sleep)


def _progress(lines: Iterator[Any], raw: UpToDamage, listener: Listener, *, delay: float = 0.5) -> Iterator[Any]:
    if not listener.shows_progress:
        return lines
    return tqdm(lines, total=len(raw), desc=Path(raw.path).name, unit="line", delay=delay)


def _counted(images: Iterator[Any]) -> Iterator[Any]:
    """Show how many images there are, as soon as one is waited for: maps of g take longer than all lines."""
    bar, waiting_since = None, time.perf_counter()
    try:
        for n_images, image in enumerate(images, 1):
            if bar is None and n_images > 1 and time.perf_counter() - waiting_since > LONG_WAIT:
                bar = tqdm(desc="images", unit="image", initial=n_images - 1, leave=False)
            if bar is not None:
                bar.update()
            yield image
            waiting_since = time.perf_counter()
    finally:
        if bar is not None:
            bar.close()


def _overridden(chain: Chain, parameters: Mapping[str, str]) -> Chain:
    """Set properties of a chain. Raises `PipelineError` if there is no such thing, or if no image comes of it."""
    chain = with_properties(chain, parameters)
    if problem := ending_problem(type(Pipeline.from_chain(chain).gadgets[-1])):
        raise PipelineError(f"{problem}, but an image file holds only images")
    return chain
