"""How many servers and workers a site needs: scans an hour in, latency from the last line to the image out."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from matplotlib.figure import Figure
from measure import print_table
from site_queue import ScanType, Served, simulate

from kband_core.plural import counted

USUAL = ("brain:256:20:180:1.5", "knee:320:12:240:2.5", "epi:64:8:60:0.5:1")
PERCENTILES = (50, 95, 99)


def _types(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> list[ScanType]:
    found = []
    for text in texts:
        name, *numbers = text.split(":")
        try:
            lines, per_hour, acquisition, reconstruction, *spread = map(float, numbers)
            found.append(ScanType(name, int(lines), per_hour, acquisition, reconstruction, *spread))
        except (ValueError, TypeError):
            raise click.BadParameter(
                f"'{text}' is no NAME:LINES:PER_HOUR:ACQUISITION:RECONSTRUCTION[:SPREAD]"
            ) from None
        if per_hour <= 0 or lines <= 0 or min(acquisition, reconstruction, *spread) < 0:
            raise click.BadParameter(f"'{text}' has a number below 0, or no scans or lines")
    return found


@click.command()
@click.option(
    "--scan",
    "types",
    multiple=True,
    default=USUAL,
    show_default=True,
    callback=_types,
    metavar="NAME:LINES:PER_HOUR:ACQUISITION_S:RECONSTRUCTION_S[:SPREAD]",
    help="Scans of one kind at the whole site; seconds behind the last line, as the metrics tell them.",
)
@click.option("--servers", default=1, show_default=True, type=click.IntRange(1, 64))
@click.option(
    "--workers",
    multiple=True,
    default=(1, 2, 3, 4, 6, 8),
    show_default=True,
    type=click.IntRange(1, 64),
    help="Of each server; a row for each.",
)
@click.option(
    "--connections",
    default=64,
    show_default=True,
    type=click.IntRange(1),
    help="Scans that a server lets run or wait, as kband serve --connections.",
)
@click.option(
    "--patience",
    default=300.0,
    show_default=True,
    type=click.FloatRange(0),
    help="Seconds that a scan waits for a worker, as kband serve --wait.",
)
@click.option("--scheduled", is_flag=True, help="Scans come evenly, with 20 % of jitter, instead of by chance.")
@click.option("--hours", default=500.0, show_default=True, type=click.FloatRange(1))
@click.option("--seed", default=0, show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="OUT.png")
def main(
    types: list[ScanType], servers: int, workers: tuple[int, ...], connections: int, patience: float, scheduled: bool,
    hours: float, seed: int, output: Path | None,
) -> None:  # fmt: skip
    """Simulate the queue at `servers` servers behind a balancer that counts connections, for each number of workers.

    A scan holds its worker from its first line to its image. All servers together are taken for one queue, which is
    the best that a balancer can do.
    """
    per_hour = sum(scan.per_hour for scan in types)
    busy = sum(scan.per_hour / 3600 * (scan.acquisition + scan.reconstruction) for scan in types)
    lines = sum(scan.per_hour / 3600 * scan.lines for scan in types)
    click.echo(f"{', '.join(f'{scan.per_hour:g} {scan.name}' for scan in types)} an hour; on average {lines:.1f} lines "
               f"a second, {busy:.1f} workers that hold a scan; {hours:g} h simulated, seed {seed}")  # fmt: skip
    runs = {
        n: simulate(types, servers * n, hours, np.random.default_rng(seed), connections=servers * connections,
                    patience=patience, scheduled=scheduled)
        for n in workers
    }  # fmt: skip
    header = ("servers × workers", "busy", *(f"{which} % s" for which in PERCENTILES), "waited", "refused")
    print_table(header, [_row(servers, n, busy, served) for n, served in runs.items()])
    if output:
        _draw(output, servers, runs)
        click.echo(f"{output}: share of scans by latency, of {counted(round(per_hour * hours), 'scan')} each")


def _row(servers: int, workers: int, busy: float, served: Served) -> tuple[str, ...]:
    latency, n_workers = served.latency[served.is_served], servers * workers
    percentiles = np.percentile(latency, PERCENTILES) if latency.size else np.full(len(PERCENTILES), np.inf)
    waited = (served.waited[served.is_served] > 0).mean() if latency.size else 0.0
    return (
        f"{servers} × {workers}", f"{min(busy / n_workers, 1):.0%}", *(f"{value:.1f}" for value in percentiles),
        f"{waited:.1%}", f"{(~served.is_served).mean():.2%}",
    )  # fmt: skip


def _draw(path: Path, servers: int, runs: dict[int, Served]) -> None:
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for n, served in runs.items():
        latency = np.sort(served.latency)
        axes.step(latency, 1 - np.arange(latency.size) / latency.size, where="post", label=f"{servers} × {n}")
    axes.set(xscale="log", yscale="log", xlim=(0.1, None), ylim=(1e-3, 1.1), xlabel="s from the last line to the image",
             ylabel="share of scans that take longer")  # fmt: skip
    axes.grid(alpha=0.3)
    axes.legend(title="servers × workers")
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
