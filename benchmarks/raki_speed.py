"""RAKI: time of our fits against that of 500 epochs as published, and what error each of them leaves.

    python benchmarks/raki_speed.py [--data FOLDER] [--repeats 1]

The 16-coil pre-scan, 24 ACS lines and the next, 128 and 64 channels. "Grid": measured lines kept, all others predicted;
"ACS": ACS lines put back.
"""

from __future__ import annotations

import statistics
from pathlib import Path

import click
import torch
from measure import data_option, fully_sampled, interleave, print_conditions, print_table
from raki_quality import acs_lines, seeded
from torch import Tensor

from kband_core.coils import root_sum_of_squares
from kband_core.fourier import to_image
from kband_core.metrics import nmse
from kband_core.patterns import equispaced_lines
from kband_core.raki.closed_form import fit_raki_rf
from kband_core.raki.fit import fit_raki, fit_raki_as_published, refit_raki
from kband_core.raki.network import RakiNetwork, apply_raki

SCAN, ACS_LINES, HIDDEN = "brain_prescan_16ch.h5", 24, (128, 64)
PUBLISHED = "published, 500 epochs"


def compare(kspace: Tensor, acceleration: int, repeats: int) -> None:
    grid = equispaced_lines(kspace.shape[-2], acceleration)
    with_acs = equispaced_lines(kspace.shape[-2], acceleration, acs_lines=ACS_LINES)
    acs = kspace[:, acs_lines(with_acs, ACS_LINES)].contiguous()
    neighbour = fit_raki(acs, acceleration, rng=torch.Generator().manual_seed(1), hidden=HIDDEN)
    balanced = {"windows": "balanced", "regularisation": 1e-2}
    fits = {
        PUBLISHED: lambda: fit_raki_as_published(acs, acceleration, rng=seeded(), hidden=HIDDEN),
        "fast": lambda: fit_raki(acs, acceleration, rng=seeded(), hidden=HIDDEN),
        "fast, balanced": lambda: fit_raki(acs, acceleration, rng=seeded(), hidden=HIDDEN, **balanced),
        "random features 384": lambda: fit_raki_rf(acs, acceleration, rng=seeded()),
        "last layer again": lambda: refit_raki(neighbour, acs),
    }
    networks: dict[str, RakiNetwork] = {}

    def keep(name: str) -> None:
        networks[name] = fits[name]()

    seconds = interleave({name: lambda name=name: keep(name) for name in fits}, repeats)
    reference = root_sum_of_squares(to_image(kspace))
    slowest = statistics.median(seconds[PUBLISHED])
    rows = []
    for name, network in networks.items():
        filled = (apply_raki(network, kspace * lines.mask, lines) for lines in (grid, with_acs))
        errors = [1e4 * float(nmse(root_sum_of_squares(to_image(array)), reference)) for array in filled]
        time = statistics.median(seconds[name])
        rows.append((name, f"{time:.2f}", f"{slowest / time:.1f}", *(f"{error:.1f}" for error in errors)))
    click.echo(f"R = {acceleration}")
    print_table(("", "median s", "times faster", "grid NMSE·1e4", "ACS NMSE·1e4"), rows)


@click.command()
@data_option
@click.option("--repeats", default=1, show_default=True)
def main(data: Path, repeats: int) -> None:
    kspace = fully_sampled(data / SCAN)
    print_conditions(f"{SCAN}: {kspace.shape[0]} coils, {ACS_LINES} ACS lines, hidden {HIDDEN}, {repeats} repeats")
    for acceleration in (4, 5, 6):
        compare(kspace, acceleration, repeats)


if __name__ == "__main__":
    main()
