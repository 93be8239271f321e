"""Files per minute through the workers of a cluster on this machine, against one process."""

from __future__ import annotations

import statistics
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from measure import print_conditions, print_table

from pipelines.chain.pipeline import load_xml
from pipelines.chain.xml import read_chain
from pipelines.export.formats import image_sink
from pipelines.files.mrd_file import write_raw
from pipelines.jobs.cluster import connected, run_on
from pipelines.jobs.job import Job, Outcome, Work
from pipelines.jobs.listener import Notes
from pipelines.replay import at_once, here, replay_file
from pipelines.simulation.simulated_protocol import Protocol
from pipelines.simulation.simulated_scan import simulate_scan


@click.command()
@click.option("--files", "n_files", default=12, show_default=True, type=click.IntRange(2))
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1))
@click.option("--repeats", default=3, show_default=True, type=click.IntRange(1))
@click.option("--pipeline", default="sense", show_default=True)
def main(n_files: int, workers: int, repeats: int, pipeline: str) -> None:
    """Replay the same files by one process and by workers in turns, after both are warm."""
    print_conditions(
        f"simulated head, 128², 8 coils, R=2, 24 ACS lines, 4 slices; {n_files} files through '{pipeline}', in turns, "
        f"{repeats} times after one to warm up; median"
    )
    work = partial(replay_file, partial(here, read_chain(load_xml(pipeline)), at_once),
                   partial(image_sink, overwrite=True), False)  # fmt: skip
    with TemporaryDirectory() as folder:
        jobs = _jobs(Path(folder), n_files)
        began = time.perf_counter()
        with connected(f"local:{workers}") as client:
            started = time.perf_counter() - began
            runs = {"one process": partial(_here, work, jobs),
                    f"local:{workers}": lambda: [outcome for _, outcome in run_on(client, work, jobs)]}  # fmt: skip
            seconds: dict[str, list[float]] = {name: [] for name in runs}
            for repeat in range(repeats + 1):
                for name, go in runs.items():
                    began = time.perf_counter()
                    outcomes = go()
                    if problems := [outcome.problem for outcome in outcomes if outcome.problem]:
                        raise click.ClickException(problems[0])
                    if repeat:
                        seconds[name].append(time.perf_counter() - began)
    one = statistics.median(seconds["one process"])
    rows = [
        (name, f"{60 * n_files / statistics.median(times):.0f}", f"{statistics.median(times):.1f}",
         f"{one / statistics.median(times):.2f}")
        for name, times in seconds.items()
    ]  # fmt: skip
    print_table(("", "files a minute", "s", "throughput ratio"), rows)
    click.echo(f"{workers} workers took {started:.1f} s to start, and a first job each to import torch")


def _jobs(folder: Path, n_files: int) -> list[Job]:
    header, lines, _ = simulate_scan(Protocol(matrix=128, n_coils=8, n_slices=4, acceleration=2, acs_lines=24))
    jobs = []
    for n in range(n_files):
        write_raw(folder / f"scan_{n}.h5", header, lines)
        jobs.append(Job(folder / f"scan_{n}.h5", folder / f"scan_{n}_images.h5"))
    return jobs


def _here(work: Work, jobs: list[Job]) -> list[Outcome]:
    return [work(job, Notes()) for job in jobs]


if __name__ == "__main__":
    main()
