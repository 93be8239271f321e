"""Many files: where their jobs run, what is told of each, and a table of failures at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from tqdm import tqdm

from kband_core.plural import counted
from pipelines.jobs.cluster import connected, run_on
from pipelines.jobs.here import run_here
from pipelines.jobs.job import Job, Outcome, Work

RAW = {".h5", ".hdf5", ".mrd"}


def files_of(given: Sequence[Path]) -> list[Path]:
    """The raw files of folders, in the order of their names, beside the files that were named; each once."""
    found: list[Path] = []
    for path in given:
        if not path.is_dir():
            found.append(path)
            continue
        inside = [each for each in sorted(path.iterdir()) if each.suffix in RAW and each.name[0] != "."]
        if not inside:
            raise click.ClickException(f"{path}: no raw file (.h5, .mrd) in this folder")
        found += inside
    return list(dict.fromkeys(found))


@contextmanager
def outcomes(work: Work, jobs: Sequence[Job], cluster: str | None) -> Iterator[Iterator[tuple[Job, Outcome]]]:
    """Give jobs with their outcomes, done in this process or on a cluster, and tell what workers wrote down."""
    if cluster is None:
        yield run_here(work, jobs)
        return
    with connected(cluster) as client:
        yield _told(run_on(client, work, jobs))


def _told(done: Iterator[tuple[Job, Outcome]]) -> Iterator[tuple[Job, Outcome]]:
    for job, outcome in done:
        for text in outcome.asides:
            tqdm.write(f"{job.path}: {text}", file=sys.stderr)
        for text in outcome.results:
            tqdm.write(text, file=sys.stdout)
        yield job, outcome


def in_order(done: Iterator[tuple[Job, Outcome]], jobs: Sequence[Job]) -> Iterator[tuple[Job, Outcome]]:
    """Give outcomes in the order of the jobs, each as soon as those before it are there."""
    early: dict[Job, Outcome] = {}
    wanted = iter(jobs)
    job = next(wanted, None)
    for finished, outcome in done:
        early[finished] = outcome
        while job in early:
            yield job, early.pop(job)
            job = next(wanted, None)


class Tally:
    """What came of many files, for the end."""

    def __init__(self) -> None:
        self.failures: dict[Path, str] = {}
        self._started, self._n_files, self._n_finished = time.perf_counter(), 0, 0

    @property
    def n_good(self) -> int:
        """How many files nothing is wrong with, so far."""
        return self._n_files - len(self.failures)

    def add(self, job: Job, outcome: Outcome) -> str | None:
        """Count a file, and tell its problem, or that it had been finished before; return the problem."""
        self._n_files += 1
        if outcome.was_finished:
            self._n_finished += 1
            tqdm.write(f"{job.path}: was finished before", file=sys.stdout)
        if outcome.problem is None:
            return None
        problem = outcome.problem.removeprefix(f"{job.path}: ")
        self.failures[job.path] = problem
        tqdm.write(f"Error: {job.path}: {problem}", file=sys.stderr)
        return problem

    def summary(self, place: Path | str) -> None:
        """Write how many files went well, where their results are, and a table of those that did not."""
        seconds = time.perf_counter() - self._started
        before = f", {self._n_finished} of them finished before" if self._n_finished else ""
        click.echo(f"{self.n_good} of {counted(self._n_files, 'file')} good{before}, in {seconds:.1f} s: {place}")
        width = max((len(str(path)) for path in self.failures), default=0)
        for path, problem in self.failures.items():
            click.echo(f"  {path!s:<{width}}  {problem}", err=True)
