"""What a network's image gains or loses by being moved towards GRAPPA's, where GRAPPA's errors do not explain why not.

    python benchmarks/kband_shrinkage.py [--scans 12]

Simulated heads and leaves that the network has not seen: as in its training; with arrays of many small coils; and cut
by the field of view, where no single set of coil maps is right. PSNR of magnitudes to that of all lines, coils combined
by the same maps.
"""

from __future__ import annotations

import statistics

import click
import torch
from measure import fitted, print_conditions, print_table
from torch import Tensor, nn
from unseen_scans import cut_object, small_coil_kspace

from gadgets.recon.kband_recon import KBandRecon
from kband_core.calibration import espirit_maps
from kband_core.coils import combine
from kband_core.fourier import resize, to_image
from kband_core.grappa import calibrate_grappa
from kband_core.metrics import psnr
from kband_core.models import load_model
from kband_core.noise import noise_level
from kband_core.patterns import equispaced_lines
from kband_core.reconstruct import grappa, network, sense
from kband_core.shrinkage import move_towards_grappa
from kband_core.training.scans import generator
from kband_core.training.simulation.procedural import procedural_plane
from kband_core.training.simulation.random_objects import random_object

Size = tuple[int, int]
Span = tuple[float, float]
NOISE = {"0.001 to 0.01": (0.001, 0.01), "0.01 to 0.05": (0.01, 0.05)}
ACS_LINES = 24


def as_in_training(shape: Size, n_coils: int, rng: torch.Generator, noise: Span) -> Tensor:
    return procedural_plane(shape, n_coils=n_coils, rng=rng, noise=noise).kspace


def many_small_coils(shape: Size, n_coils: int, rng: torch.Generator, noise: Span) -> Tensor:
    return small_coil_kspace(random_object(shape, rng), n_coils, rng, noise=noise)


def and_cut(shape: Size, n_coils: int, rng: torch.Generator, noise: Span) -> Tensor:
    return small_coil_kspace(cut_object(shape, rng), n_coils, rng, noise=noise)


KINDS = {"as in training": as_in_training, "many small coils": many_small_coils, "and cut": and_cut}


@click.command(help=__doc__, context_settings={"show_default": True})
@click.option("--model", default=KBandRecon().model, help="Model of the registry.")
@click.option("--scans", default=12, help="Simulated scans of each kind.")
@click.option("--matrix", default=128, help="Lines and columns.")
@click.option("--coils", default=12, help="Coils, virtual ones where there are more.")
def main(model: str, scans: int, matrix: int, coils: int) -> None:
    print_conditions(
        f"{model}; {matrix}², {coils} coils, every 3rd or 4th line and {ACS_LINES} ACS lines, {scans} scans each;\n"
        "mean PSNR, dB; 'gain' is that of the network by GRAPPA, mean and worst; 'share' of the difference, mean."
    )
    rows = []
    for kind, scan in KINDS.items():
        for noise, span in NOISE.items():
            rngs = (generator("shrinkage", number) for number in range(scans))
            kspaces = (scan((matrix, matrix), coils, rng, span) for rng in rngs)
            found = [_figures(load_model(model), kspace, number) for number, kspace in enumerate(kspaces)]
            means = {name: statistics.mean(one[name] for one in found) for name in found[0]}
            gains = [one["moved"] - one["network"] for one in found]
            rows.append((
                f"{kind}, noise {noise}", *(f"{means[name]:.2f}" for name in ("sense", "grappa", "network", "moved")),
                f"{statistics.mean(gains):+.2f}", f"{min(gains):+.2f}", f"{means['share']:.2f}",
            ))  # fmt: skip
    print_table(("scans", "SENSE", "GRAPPA", "network", "moved", "gain", "worst", "share"), rows)


@torch.no_grad()
def _figures(model: nn.Module, full: Tensor, number: int) -> dict[str, float]:
    shape, acceleration = full.shape[-2:], 3 + number % 2
    sampling = equispaced_lines(shape[0], acceleration, acs_lines=ACS_LINES, offset=number % acceleration)
    acs, kspace = resize(full, [ACS_LINES], dims=[-2]), full * sampling.mask
    csm = espirit_maps(acs, shape, above_noise=True)
    kernel, truth = calibrate_grappa(acs, acceleration), combine(to_image(full), csm)[0].abs()
    image = network(kspace[None], sampling, csm[None], model)[0]
    moved, share = move_towards_grappa(image, kspace, sampling, csm, kernel, noise_level(kspace, sampling.mask))
    images = {
        "sense": sense(kspace, sampling, csm, regularisation=0.01, n_iterations=20),
        "grappa": grappa(kspace, sampling, kernel, csm), "network": image, "moved": moved,
    }  # fmt: skip
    figures = {name: float(psnr(fitted(one.abs(), truth), truth)) for name, one in images.items()}
    return {**figures, "share": share}


if __name__ == "__main__":
    main()
