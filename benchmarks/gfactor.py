"""g-factor maps: time of the Gram form against the matrix form, and mean g against that of 1000 noisy replicas.

    python benchmarks/gfactor.py [--data FOLDER] [--repeats 1] [--threads 2] [--replicas 1000]

The matrix form writes every activation as the N × N matrix of a circular convolution, as the method was published, here
with the wrap-around of both axes. Networks for the times have random weights, 128 and 64 channels. With a folder of
real raw files, RAKI (500 epochs) and GRAPPA are fitted to the brain in it, R=4, 40 ACS lines and the next.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path

import torch
from measure import fully_sampled, interleave, print_conditions, print_table, print_times
from torch import Tensor

from kband_core.fourier import to_image, to_kspace
from kband_core.grappa import calibrate_grappa
from kband_core.patterns import equispaced_lines
from kband_core.raki.fit import fit_raki_as_published
from kband_core.raki.gfactor import gfactor_map, gfactor_of, real_combination
from kband_core.raki.gfactor_checks import monte_carlo_variance
from kband_core.raki.gfactor_gram import noise_matrix
from kband_core.raki.image_space import activation_masks, image_space_weights
from kband_core.raki.network import RakiNetwork
from kband_core.sampling import Grid

ACCELERATION, WIDTHS, ACS_LINES, SLOPES = 4, (128, 64), 40, (0.0, 0.5, 1.0)
NOISE, BACKGROUND = 1e-3, 0.05  # of the RMS of k-space; of the brightest pixel
BRAIN = "brain_prescan_16ch.h5"


def random_problem(shape: tuple[int, int, int], rng: torch.Generator, widths=WIDTHS, *, skip: bool = False):
    """A network of random weights, and k-space `(coil, ky, kx)` with every R-th line, and its sampling."""
    n_coils, n_lines, _ = shape
    channels = (n_coils, *widths, n_coils * (ACCELERATION - 1))
    kernels = [(2, 5), *[(1, 1)] * (len(widths) - 1), (1, 5)]
    layers = [
        complex_normal((b, a, *taps), rng) / (a * taps[0] * taps[1]) ** 0.5
        for a, b, taps in zip(channels, channels[1:], kernels, strict=False)
    ]
    bypass = complex_normal((channels[-1], n_coils, 2, 5), rng) / (10 * n_coils) ** 0.5 if skip else None
    sampling = equispaced_lines(n_lines, ACCELERATION)
    return RakiNetwork(tuple(layers), 0.5, ACCELERATION, bypass), complex_normal(shape, rng) * sampling.mask, sampling


def complex_normal(shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
    return torch.randn(shape, dtype=torch.complex64, generator=rng)


def matrix_variance(network: RakiNetwork, kspace: Tensor, sampling: Grid, combination: Tensor) -> Tensor:
    """Variance `(y, x)` of white noise in the combined image, from the whole Jacobian by the aliased coil images."""
    shape = kspace.shape[-2:]
    n_pixels = shape.numel()
    first, second, last = (weights.flatten(-2) for weights in image_space_weights(network, shape))
    rows = sampling.lines()
    lines = kspace[:, rows]
    circulants = []
    for mask in activation_masks(network, lines):
        full = mask.new_zeros(len(mask), *shape)
        full[:, rows] = mask
        waves = to_kspace(torch.eye(n_pixels, dtype=mask.dtype).reshape(n_pixels, *shape))
        circulants.append([to_image(channel * waves).reshape(n_pixels, n_pixels).mT for channel in full])
    outer = torch.einsum("jp,jcp->cp", combination.flatten(-2), last)
    inner = torch.stack(circulants[0]).permute(2, 0, 1).contiguous()  # (pixel, channel, pixel)
    variance = 0
    for coil in range(len(kspace)):
        weights = second[..., 0] * first[:, coil].T[:, None]  # (pixel, channel, channel)
        mixed = (weights @ inner).permute(1, 2, 0)
        row = combination[coil].flatten().diag()
        for channel, circulant in enumerate(circulants[1]):
            row = row + outer[channel][:, None] * (circulant @ mixed[channel])
        acquired = to_kspace(row.conj().reshape(n_pixels, *shape))[:, rows]
        variance = variance + acquired.abs().square().sum((-2, -1))
    return variance.reshape(shape)


def compare_forms(repeats: int, rng: torch.Generator) -> None:
    """Gram against matrix form, of the same map."""
    network, kspace, sampling = random_problem((16, 24, 24), rng)
    combination = complex_normal(tuple(kspace.shape), rng)
    start = time.perf_counter()
    reference = matrix_variance(network, kspace, sampling, combination)
    matrix = time.perf_counter() - start
    fast = interleave({"gram": lambda: noise_matrix(network, kspace, sampling).variance(combination)}, repeats)["gram"]
    error = (noise_matrix(network, kspace, sampling).variance(combination) / reference - 1).abs().max()
    print(f"16 coils, 24×24, R={ACCELERATION}, {WIDTHS[0]}/{WIDTHS[1]} channels; σ² differ by {error:.0e} at most\n")
    print_table(
        ("", "s", "ratio"),
        [("gram", f"{min(fast):.3f}", "1"), ("matrix, once", f"{matrix:.1f}", f"{matrix / min(fast):.0f}")],
    )


def time_gram(repeats: int, rng: torch.Generator) -> None:
    """Gram form alone at the size of a scan."""
    contestants = {}
    for name, widths, skip in (("128/64", WIDTHS, False), ("384 and skip", (384,), True)):
        network, kspace, sampling = random_problem((8, 180, 230), rng, widths, skip=skip)
        combination = complex_normal(tuple(kspace.shape), rng)
        for linearisation in ("frozen", "widely_linear"):
            contestants[f"{name}, {linearisation}"] = partial(
                gfactor_map, network, kspace, sampling, combination=combination, linearisation=linearisation
            )
    print(f"8 coils, 180×230, R={ACCELERATION}, whole map, reconstruction included\n")
    print_times(interleave(contestants, repeats), "128/64, frozen")


def compare_means(kspace: Tensor, n_replicas: int) -> None:
    """Mean g over all pixels of RAKI, foretold and simulated, and how far the maps scatter around the simulation."""
    kspace = kspace / kspace.abs().square().mean().sqrt()
    n_lines = kspace.shape[-2]
    sampling = equispaced_lines(n_lines, ACCELERATION)
    start = n_lines // 2 - ACS_LINES // 2
    acs = kspace[:, start : start + ACS_LINES + 1]  # the last is a line of the grid
    networks = {
        f"RAKI, slope {slope:g}": fit_raki_as_published(
            acs, ACCELERATION, rng=torch.Generator().manual_seed(0), hidden=WIDTHS, slope=slope
        )
        for slope in SLOPES
    }
    rss = torch.linalg.vector_norm(to_image(kspace), dim=-3)
    brain = rss > BACKGROUND * rss.max()
    rows = []
    for name, network in (networks | {"GRAPPA": calibrate_grappa(acs, ACCELERATION)}).items():
        sampled = kspace * sampling.mask
        combination = real_combination(network, sampled, sampling)
        variance = monte_carlo_variance(
            network, sampled, sampling, combination,
            noise_scale=NOISE, n_replicas=n_replicas, rng=torch.Generator().manual_seed(1),
        )  # fmt: skip
        seen = gfactor_of(variance, combination, ACCELERATION)
        maps = [gfactor_map(network, sampled, sampling, linearisation=choice) for choice in ("frozen", "widely_linear")]
        means = [f"{map_.mean():.3f} / {map_[brain].mean():.3f}" for map_ in (*maps, seen)]
        scatter = [f"{100 * (map_ / seen - 1).square().mean().sqrt():.1f}" for map_ in maps]
        rows.append((name, *means, *scatter))
    print(
        f"{BRAIN} {tuple(kspace.shape)}, R={ACCELERATION}, {acs.shape[-2]} ACS lines, not in the image; 500 epochs;\n"
        f"{n_replicas} replicas, noise {NOISE:g} of the RMS of k-space. Mean g of all pixels / of those above\n"
        f"{BACKGROUND:.0%} of the brightest; scatter around the simulation is RMS over all pixels, in percent of g\n"
    )
    print_table(("mean g", "frozen", "widely linear", "simulated", "frozen %", "widely linear %"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--replicas", type=int, default=1000)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rng = torch.Generator().manual_seed(0)
    print_conditions(f"{options.repeats} repeats after one warm-up.")
    compare_forms(options.repeats, rng)
    time_gram(options.repeats, rng)
    if options.data:
        compare_means(fully_sampled(options.data / BRAIN), options.replicas)


if __name__ == "__main__":
    main()
