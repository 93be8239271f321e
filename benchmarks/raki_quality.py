"""RAKI: error of every way to fit it, beside GRAPPA and beside writing zeros, on fully sampled brains.

    python benchmarks/raki_quality.py [--data FOLDER] [--scan NAME] [--rounds 0]

Lines 0, R, 2R … and a central ACS block are kept: 24 lines of the 64² pre-scan, 40 of the others, and an adjoining
grid line. Errors are those of the root-sum-of-squares image. "Grid": measured grid lines are kept, the others
predicted, those of the ACS too. "ACS": these are put back. The bands are the relative error energy of k-space
samples that neither the grid nor the ACS holds, by their distance from the centre; 1 is what zeros score.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import torch
from measure import data_option, fully_sampled, print_conditions, print_table
from published.iterative_raki import iterative_raki
from published.real_valued_raki import fit_real_raki, fit_rraki
from torch import Tensor

from kband_core.coils import root_sum_of_squares
from kband_core.fourier import to_image
from kband_core.grappa import apply_grappa, calibrate_grappa
from kband_core.metrics import nmse, psnr, ssim
from kband_core.patterns import equispaced_lines
from kband_core.raki.closed_form import fit_raki_rf
from kband_core.raki.fit import fit_raki, fit_raki_as_published
from kband_core.raki.network import RakiNetwork, apply_raki
from kband_core.sampling import Grid

SCANS = {"brain_prescan_16ch": 24, "brain_t1_8ch": 40, "brain_flash_16ch": 40}
BANDS = ((0.0, 0.35), (0.35, 0.7), (0.7, 1.5))
Fill = Callable[[Tensor, Grid], Tensor]  # k-space and its sampling to a filled k-space


def acs_lines(sampling: Grid, n_lines: int) -> slice:
    """The block around the centre that was acquired without a gap, adjoining grid lines included."""
    mask = sampling.lines()
    first = len(mask) // 2 - n_lines // 2
    last = first + n_lines
    while first > 0 and mask[first - 1]:
        first -= 1
    while last < len(mask) and mask[last]:
        last += 1
    return slice(first, last)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def contestants(acs: Tensor, acceleration: int, *, real_valued: bool) -> dict[str, Callable[[], Fill]]:
    """Fits by name; each returns what fills a k-space."""

    def network(fit: Callable[..., RakiNetwork], **options) -> Callable[[], Fill]:
        def fitted() -> Fill:
            net = fit(acs, acceleration, rng=seeded(), **options)
            return partial(apply_raki, net)

        return fitted

    def grappa(regularisation: float) -> Callable[[], Fill]:
        def fitted() -> Fill:
            kernel = calibrate_grappa(acs, acceleration, regularisation=regularisation)
            return partial(apply_grappa, kernel)

        return fitted

    fits = {"zeros": lambda: lambda kspace, sampling: kspace}
    fits |= {f"GRAPPA, λ {value:g}": grappa(value) for value in (1e-4, 1e-3, 1e-2, 3e-2, 1e-1)}
    fits |= {
        "RAKI paper 256/128": network(fit_raki_as_published, hidden=(256, 128)),
        "RAKI fast 256/128": network(fit_raki, hidden=(256, 128)),
        "RAKI paper 128/64": network(fit_raki_as_published, hidden=(128, 64)),
        "RAKI fast 128/64": network(fit_raki, hidden=(128, 64)),
        "random features 384": network(fit_raki_rf),
        "RAKI fast 128/64, balanced": network(fit_raki, windows="balanced", regularisation=1e-2),
        "random features, balanced": network(fit_raki_rf, windows="balanced", regularisation=1e-2),
    }
    if real_valued:
        fits |= {"original RAKI": network(fit_real_raki), "rRAKI": network(fit_rraki)}
    return fits


def band_errors(filled: Tensor, kspace: Tensor, sampling: Grid) -> list[str]:
    y, x = (torch.linspace(-1, 1, n) for n in kspace.shape[-2:])
    radius = torch.hypot(y[:, None], x)
    errors = []
    for inner, outer in BANDS:
        band = ~sampling.mask & (radius >= inner) & (radius < outer)
        energy = [(array.abs().square() * band).sum() for array in (filled - kspace, kspace)]
        errors.append(f"{energy[0] / energy[1]:.2f}" if band.any() else "none")
    return errors


def image_errors(filled: Tensor, kspace: Tensor) -> list[str]:
    image, reference = (root_sum_of_squares(to_image(array)) for array in (filled, kspace))
    return [f"{1e4 * nmse(image, reference):.1f}", f"{100 * ssim(image, reference):.1f}",
            f"{psnr(image, reference):.2f}"]  # fmt: skip


def compare(kspace: Tensor, acceleration: int, n_acs: int, *, rounds: int, real_valued: bool) -> None:
    grid = equispaced_lines(kspace.shape[-2], acceleration)
    sampling = equispaced_lines(kspace.shape[-2], acceleration, acs_lines=n_acs)
    block = acs_lines(sampling, n_acs)
    acs = kspace[:, block].contiguous()
    rows = []
    for name, fit in contestants(acs, acceleration, real_valued=real_valued).items():
        start = time.perf_counter()
        fill = fit()
        seconds = time.perf_counter() - start
        alone, restored = (fill(kspace * lines.mask, lines) for lines in (grid, sampling))
        rows.append((name, f"{seconds:.2f}", *image_errors(alone, kspace), *image_errors(restored, kspace),
                     *band_errors(restored, kspace, sampling)))  # fmt: skip
    if rounds:
        start = time.perf_counter()
        filled = iterative_raki(kspace * sampling.mask, sampling, acceleration, block, rng=seeded(), n_rounds=rounds)
        rows.append((f"iterative RAKI, {rounds} rounds", f"{time.perf_counter() - start:.2f}", "", "", "",
                     *image_errors(filled, kspace), *band_errors(filled, kspace, sampling)))  # fmt: skip
    click.echo(f"R = {acceleration}, ACS lines {block.start} to {block.stop - 1}")
    bands = [f"band {inner:g}–{outer:g}" for inner, outer in BANDS]
    print_table(("", "fit s", "grid NMSE·1e4", "SSIM %", "PSNR dB", "ACS NMSE·1e4", "SSIM %", "PSNR dB", *bands), rows)


@click.command()
@data_option
@click.option("--scan", "scans", multiple=True, type=click.Choice(list(SCANS)), help="Only this one.")
@click.option("--rounds", default=0, show_default=True, help="Rounds of iterative RAKI; minutes each.")
@click.option("--real-valued", is_flag=True, help="Also original RAKI and rRAKI; minutes each.")
def main(data: Path, scans: tuple[str, ...], rounds: int, real_valued: bool) -> None:
    for scan in scans or SCANS:
        kspace = fully_sampled(data / f"{scan}.h5")
        n_coils, n_lines, n_samples = kspace.shape
        print_conditions(
            f"{scan}: {n_coils} coils, {n_lines} × {n_samples}, {SCANS[scan]} ACS lines, slope 0.5, seed 0"
        )
        for acceleration in (4, 5, 6):
            compare(kspace, acceleration, SCANS[scan], rounds=rounds, real_valued=real_valued)


if __name__ == "__main__":
    main()
