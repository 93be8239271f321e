"""Which activation leaks least to the image centre when all add the same noise."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
import torch
from matplotlib.figure import Figure
from measure import data_option, fully_sampled, print_conditions, print_table
from torch import Tensor

from kband_core.coils import root_sum_of_squares
from kband_core.fourier import to_image
from kband_core.metrics import nmse
from kband_core.phantom import coil_kspace, complex_noise, head_phantom, loop_coils
from kband_core.raki.closed_form import random_weights, ridge
from kband_core.raki.footprint import calibration_columns, calibration_targets, normalised, sample_columns
from kband_core.raki.gfactor_checks import monte_carlo_variance
from kband_core.raki.image_space import mask_off_centre_energy
from kband_core.raki.network import RakiNetwork, complex_leaky_relu, convolve, interpolate
from kband_core.sampling import equispaced_lines

ACCELERATION, ACS_LINES, KERNEL, LAST_SAMPLES = 4, 24, (2, 5), 5
NOISE, REFERENCE_SLOPE, REFERENCE_LAMBDA = 1e-3, 0.5, 1e-3
LEAST_LAMBDA, LARGEST_LAMBDA = 1e-5, 30.0
BRAIN = "brain_prescan_16ch"
Activation = Callable[[Tensor], Tensor]


def modulus_of_channel(z: Tensor, leak: float) -> Tensor:
    """Multiply by `leak` what is below its channel's median modulus over all of k-space `(..., channel, ky, kx)`."""
    size = z.abs()
    median = size.flatten(-2).median(-1).values[..., None, None]
    return z * torch.where(size < median, leak, 1.0)


def modulus_of_sample(z: Tensor, leak: float) -> Tensor:
    """Multiply by `leak` what is below the median modulus of all channels at the same sample of k-space."""
    size = z.abs()
    return z * torch.where(size < size.median(-3, keepdim=True).values, leak, 1.0)


def cardioid(z: Tensor, leak: float) -> Tensor:
    """z·(leak + (1 − leak)·½(1 + cos ∠z)); Virtue et al., ICIP 2017, for leak 0."""
    cosine = z.real / z.abs().clamp(min=torch.finfo(z.real.dtype).tiny)
    return z * (leak + (1 - leak) * (1 + cosine) / 2)


FAMILIES = {
    "ℂLReLU": (complex_leaky_relu, (0.0, 0.25, 0.5, 0.75)),
    "modulus, channel median": (modulus_of_channel, (0.0, 0.5)),
    "modulus, local median": (modulus_of_sample, (0.0, 0.25, 0.5, 0.75)),
    "cardioid": (cardioid, (0.0, 0.25, 0.5)),
    "linear": (complex_leaky_relu, (1.0,)),
}


@dataclass(frozen=True, kw_only=True)
class FeatureNetwork(RakiNetwork):
    """One hidden layer of random features, any activation behind it."""

    activation: Activation

    def forward(self, lines: Tensor) -> Tensor:
        predicted = convolve(self.activation(convolve(lines, self.layers[0])), self.layers[1])
        return predicted.unflatten(-3, (self.n_coils, self.n_offsets))

    __call__ = forward


@dataclass(frozen=True)
class Problem:
    """A fully sampled scan of RMS 1, the lines that are kept, and the coil combination of the full image."""

    kspace: Tensor
    n_features: int

    @property
    def mask(self) -> Tensor:
        return equispaced_lines(self.kspace.shape[-2], ACCELERATION)

    @property
    def combination(self) -> Tensor:
        images = to_image(self.kspace)
        return images.conj() / root_sum_of_squares(images).clamp(min=1e-12)

    def fits(self, activation: Activation) -> Callable[[float], FeatureNetwork]:
        """Fit by ridge regression; the random layer is the same for every activation. Returns λ → network."""
        start = self.kspace.shape[-2] // 2 - ACS_LINES // 2
        acs = normalised(self.kspace[:, start : start + ACS_LINES + 1])  # the last is a line of the grid
        shape = (self.n_features, len(acs), *KERNEL)
        first = random_weights(shape, torch.Generator().manual_seed(0), acs, gaussian=True)
        sources = calibration_columns(acs, ACCELERATION, KERNEL)
        hidden = (first.flatten(-3) @ sources.flatten(-2)).unflatten(-1, sources.shape[-2:])
        columns = sample_columns(activation(hidden), LAST_SAMPLES).flatten(-2)
        targets = calibration_targets(acs, ACCELERATION, KERNEL, ACCELERATION - 1, later=(LAST_SAMPLES,)).flatten(-2)

        def fit(regularisation: float) -> FeatureNetwork:
            last = ridge(columns, targets, regularisation=regularisation).unflatten(-1, (-1, 1, LAST_SAMPLES))
            return FeatureNetwork((first, last), 0.0, ACCELERATION, activation=activation)

        return fit

    def mean_g(self, network: FeatureNetwork, n_replicas: int) -> float:
        sampled, rng = self.kspace * self.mask[:, None], torch.Generator().manual_seed(1)
        variance = monte_carlo_variance(
            network, sampled, self.mask, self.combination, rng=rng, n_replicas=n_replicas, noise_scale=NOISE
        )
        return float((variance / ACCELERATION).sqrt().mean())

    def matched(self, activation: Activation, target: float, n_replicas: int) -> tuple[FeatureNetwork, float]:
        """Bisect λ until the mean g is `target`; an end of the range of λ where none reaches it."""
        fit, low, high = self.fits(activation), math.log(LEAST_LAMBDA), math.log(LARGEST_LAMBDA)
        for _ in range(12):
            middle = (low + high) / 2
            network = fit(math.exp(middle))
            g = self.mean_g(network, n_replicas)
            if abs(g / target - 1) < 0.01:
                break
            low, high = (middle, high) if g > target else (low, middle)
        return network, math.exp(middle)


def error_energy(network: FeatureNetwork, problem: Problem) -> Tensor:
    """Energy `(y, x)` of all coils' errors; calibration lines are predicted, measured grid lines kept."""
    filled = interpolate(network, problem.kspace * problem.mask[:, None], problem.mask)
    return to_image(filled - problem.kspace).abs().square().sum(-3)


def centre_and_ring(energy: Tensor) -> tuple[float, float]:
    """Mean energy of the pixels within 3 of the centre, and of those between 5 and 10."""
    y, x = (torch.arange(n) - n // 2 for n in energy.shape)
    radius = torch.hypot(y[:, None].float(), x.float())
    return float(energy[radius <= 3].mean()), float(energy[(radius >= 5) & (radius <= 10)].mean())


def measure(network: FeatureNetwork, problem: Problem, n_replicas: int) -> dict[str, float | Tensor]:
    sampled = problem.kspace * problem.mask[:, None]
    filled = interpolate(network, sampled, problem.mask)
    images, reference = (root_sum_of_squares(to_image(array)) for array in (filled, problem.kspace))
    energy = error_energy(network, problem)
    z = convolve(sampled[:, problem.mask], network.layers[0])
    mask = network.activation(z) / torch.where(z == 0, 1, z)
    centre, ring = centre_and_ring(energy)
    signal = centre_and_ring(reference.square())[0]
    return {"g": problem.mean_g(network, n_replicas), "nmse": float(nmse(images, reference)),
            "moved": float(mask_off_centre_energy(mask).mean()), "ratio": centre / ring,
            "centre": math.sqrt(centre / signal), "energy": energy}  # fmt: skip


def problems(data: Path, n_features: int) -> dict[str, Problem]:
    brain = fully_sampled(data / f"{BRAIN}.h5")
    phantom = coil_kspace(head_phantom(), loop_coils(16, object_phase=1.0), (64, 64), oversampling=1)
    phantom = phantom + 0.01 * complex_noise(torch.eye(16), (64, 64), torch.Generator().manual_seed(2))
    scans = {"brain": brain, "phantom": phantom}
    return {name: Problem(scan / scan.abs().square().mean().sqrt(), n_features) for name, scan in scans.items()}


def draw(results: dict[str, dict[str, dict]], scans: dict[str, Problem], output: Path) -> None:
    """For each family at equal g, the leak of the smallest centre artefact: RSS error, one window for each row."""
    figure = Figure(figsize=(2.3 * (len(FAMILIES) + 1), 5.2), layout="constrained")
    axes = figure.subplots(len(scans), len(FAMILIES) + 1)
    for row, (scan, rows) in zip(axes, results.items(), strict=True):
        reference = root_sum_of_squares(to_image(scans[scan].kspace))
        row[0].imshow(reference, cmap="gray", vmin=0, vmax=float(reference.quantile(0.995)))
        row[0].set_title(f"{scan}, fully sampled", fontsize=8)
        top = 0.2 * float(reference.quantile(0.995))
        for axis, family in zip(row[1:], FAMILIES, strict=True):
            name = min((name for name in rows if name.startswith(family)), key=lambda name: rows[name]["ratio"])
            axis.imshow(rows[name]["energy"].sqrt(), cmap="gray", vmin=0, vmax=top)
            axis.set_title(f"{name}\ng {rows[name]['g']:.2f}, centre/ring {rows[name]['ratio']:.2f}", fontsize=7)
        for axis in row:
            axis.set_axis_off()
    figure.suptitle("Error of all coils at equal mean g, 0 to 20 % of the bright signal; least-artefact leak of each",
                    fontsize=9)  # fmt: skip
    figure.savefig(output, dpi=100)


@click.command()
@data_option
@click.option("--replicas", default=200, show_default=True, help="Noisy replicas for each mean g in the table.")
@click.option("--matching-replicas", default=8, show_default=True, help="Replicas while λ is searched.")
@click.option("--features", default=128, show_default=True, help="Random hidden channels.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Picture of the errors.")
def activation(data: Path, replicas: int, matching_replicas: int, features: int, output: Path | None) -> None:
    """Compare activations at equal mean g: error, spread of their masks, error at the image centre."""
    scans = problems(data, features)
    rows, results, sentences, signals = [], {}, [], []
    for scan, problem in scans.items():
        reference = problem.fits(partial(complex_leaky_relu, slope=REFERENCE_SLOPE))(REFERENCE_LAMBDA)
        target = problem.mean_g(reference, matching_replicas)
        results[scan] = {}
        for family, (function, leaks) in FAMILIES.items():
            for leak in leaks:
                chosen = (lambda z, f=function, a=leak: f(z, a))
                network, regularisation = problem.matched(chosen, target, matching_replicas)
                name = family if family == "linear" else f"{family} {leak:g}"
                found = results[scan][name] = measure(network, problem, replicas)
                rows.append((f"{scan}, {name}", f"{regularisation:.1e}", f"{found['g']:.3f}",
                             f"{1e4 * found['nmse']:.1f}", f"{100 * found['moved']:.1f}", f"{found['ratio']:.2f}",
                             f"{100 * found['centre']:.1f}"))  # fmt: skip
        centre, ring = centre_and_ring(to_image(problem.kspace).abs().square().sum(-3))
        signals.append(f"{scan} {centre / ring:.2f}")
        sentences.append(answer(scan, results[scan]))
    print_conditions(
        f"{BRAIN} and a simulated head, 16 × 64 × 64, R={ACCELERATION}, {ACS_LINES + 1} ACS lines, not put back.\n"
        f"{features} random features, last layer 1 × {LAST_SAMPLES} by ridge regression, no linear path; λ makes the\n"
        f"mean g that of ℂLReLU {REFERENCE_SLOPE:g} at λ = {REFERENCE_LAMBDA:g}. g from {replicas} replicas, noise "
        f"{NOISE:g} of the RMS of k-space.\nCentre/ring: error energy per pixel within 3 of the image centre to that "
        f"at 5 to 10; of the signal itself: {', '.join(signals)}.\nCentre error: of the signal there, RMS."
    )
    header = ("activation, leak", "λ", "mean g", "NMSE·1e4", "mask off centre %", "centre/ring", "centre error %")
    print_table(header, rows)
    click.echo("\n".join(sentences))
    if output:
        draw(results, scans, output)


def answer(scan: str, rows: dict[str, dict]) -> str:
    """One sentence from the numbers; only rows whose g is within 3 % of the reference count."""
    reference = rows[f"ℂLReLU {REFERENCE_SLOPE:g}"]
    equal = {name: row for name, row in rows.items() if abs(row["g"] / reference["g"] - 1) < 0.03}
    least, best = (min(equal, key=lambda name: equal[name][key]) for key in ("ratio", "nmse"))
    return (
        f"{scan}: {len(equal)} of {len(rows)} rows are within 3 % of the reference's g. Least centre/ring: {least}, "
        f"{equal[least]['ratio']:.2f} against {reference['ratio']:.2f} of ℂLReLU {REFERENCE_SLOPE:g}, with NMSE "
        f"{1e4 * equal[least]['nmse']:.1f} against {1e4 * reference['nmse']:.1f}. Least NMSE: {best}, "
        f"{1e4 * equal[best]['nmse']:.1f}."
    )
