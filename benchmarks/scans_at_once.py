"""Time from the last line to the image with 1, 4 and 16 scans at once on the server's two workers."""

from __future__ import annotations

import statistics
import threading

import click
from measure import print_conditions, print_table
from served_scans import Answer, ScanMessages, run_scan, running_server, wait_until_idle

from pipelines.hosts.server import Settings
from pipelines.simulation.simulated_protocol import Protocol

PIPELINES = ("sense", "grappa")


@click.command()
@click.option("--repeats", default=5, show_default=True, type=click.IntRange(1))
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1, 64))
@click.option("--at-once", default=(1, 4, 16), show_default=True, multiple=True, type=click.IntRange(1, 256))
@click.option("--pause", default=1.0, show_default=True, help="Seconds between all other lines and the last one.")
def main(repeats: int, workers: int, at_once: tuple[int, ...], pause: float) -> None:
    """Send 1, 4, 16 scans at once, `repeats` times after one to warm up; a scan holds its worker to its end."""
    protocol = Protocol(matrix=128, n_coils=8, n_slices=1, acceleration=2, acs_lines=24)
    print_conditions(
        f"simulated head, 128², 8 coils, R=2, 24 ACS lines, one slice; {workers} workers; lines unpaced, the last one "
        f"{pause:g} s after the others; {repeats} times, latency from the last line to the image"
    )
    rows = []
    with running_server(Settings(port=0, n_workers=workers, most_connections=max(at_once))) as server:
        for pipeline in PIPELINES:
            scan = ScanMessages.simulate(protocol, pipeline)
            for n_scans in at_once:
                answers: list[Answer] = []
                for repeat in range(repeats + 1):
                    latest = _together(server.port, scan, n_scans, pause)
                    answers += latest if repeat else []
                    wait_until_idle(server)
                rows.append(_row(pipeline, n_scans, answers))
    print_table(("pipeline", "scans at once", "least ms", "median ms", "max ms"), rows)


def _together(port: int, scan: ScanMessages, n_scans: int, pause: float) -> list[Answer]:
    answers: list[Answer] = []
    send = lambda: answers.append(run_scan(port, scan, pause))  # noqa: E731
    threads = [threading.Thread(target=send, daemon=True) for _ in range(n_scans)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    failures = [failure for answer in answers for failure in answer.failures]
    if failures or len(answers) != n_scans or any(len(answer.images) != scan.n_images for answer in answers):
        raise click.ClickException(f"{len(answers)} of {n_scans} scans answered, failures: {failures or 'none'}")
    return answers


def _row(pipeline: str, n_scans: int, answers: list[Answer]) -> list[str]:
    latencies = [1e3 * answer.latency for answer in answers]
    figures = (min(latencies), statistics.median(latencies), max(latencies))
    return [pipeline, str(n_scans), *(f"{figure:.0f}" for figure in figures)]


if __name__ == "__main__":
    main()
