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
from raki_questions_picture import save
from torch import Tensor

from kband_core.coils import root_sum_of_squares
from kband_core.footprint import calibration_columns, calibration_targets, normalised, sample_columns
from kband_core.fourier import to_image
from kband_core.metrics import nmse
from kband_core.patterns import equispaced_lines
from kband_core.phantom import coil_kspace, complex_noise, head_phantom, loop_coils
from kband_core.raki.closed_form import random_weights, ridge
from kband_core.raki.gfactor_checks import monte_carlo_variance
from kband_core.raki.image_space import mask_off_centre_energy
from kband_core.raki.network import RakiNetwork, apply_raki, complex_leaky_relu, convolve
from kband_core.sampling import Grid

ACCELERATION, ACS_LINES, KERNEL, LAST_SAMPLES = 4, 24, (2, 5), 5
NOISE, REFERENCE_SLOPES, REFERENCE_LAMBDA = 1e-3, (0.0, 0.5), 1e-3
LEAST_LAMBDA, LARGEST_LAMBDA = 1e-5, 30.0
BRAIN = "brain_prescan_16ch"
Activation = Callable[[Tensor], Tensor]


def modulus_step(z: Tensor, leak: float) -> Tensor:
    """Multiply by `leak` what is below the median modulus of all channels `(..., channel, ky, kx)` at the sample."""
    size = z.abs()
    return z * torch.where(size < size.median(-3, keepdim=True).values, leak, 1.0)


def modulus_kink(z: Tensor, leak: float) -> Tensor:
    """The same without a step: the modulus rises by `leak` up to the median, and by 1 from there on, as in modReLU."""
    return shrink(z, z.abs().median(-3, keepdim=True).values, leak)


def channel_kink(z: Tensor, leak: float) -> Tensor:
    """The same with the median of each channel over all of k-space."""
    return shrink(z, z.abs().flatten(-2).median(-1).values[..., None, None], leak)


def shrink(z: Tensor, threshold: Tensor, leak: float) -> Tensor:
    size = z.abs().clamp(min=torch.finfo(z.real.dtype).tiny)
    return z * torch.where(size < threshold, leak, 1 - (1 - leak) * threshold / size)


def cardioid(z: Tensor, leak: float) -> Tensor:
    """z·(leak + (1 − leak)·½(1 + cos ∠z)); Virtue et al., ICIP 2017, for leak 0."""
    cosine = z.real / z.abs().clamp(min=torch.finfo(z.real.dtype).tiny)
    return z * (leak + (1 - leak) * (1 + cosine) / 2)


FAMILIES = {
    "ℂLReLU": (complex_leaky_relu, (0.0, 0.25, 0.5, 0.75)),
    "modulus step": (modulus_step, (0.5,)),
    "modulus kink": (modulus_kink, (0.0, 0.25, 0.5, 0.75)),
    "channel kink": (channel_kink, (0.0, 0.5)),
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
    def sampling(self) -> Grid:
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
            last = ridge("activation", columns, targets, regularisation=regularisation)
            last = last.unflatten(-1, (-1, 1, LAST_SAMPLES))
            return FeatureNetwork((first, last), 0.0, ACCELERATION, activation=activation)

        return fit

    def mean_g(self, network: FeatureNetwork, n_replicas: int) -> float:
        problem = network, self.kspace * self.sampling.mask, self.sampling, self.combination
        rng = torch.Generator().manual_seed(1)
        variance = monte_carlo_variance(*problem, rng=rng, n_replicas=n_replicas, noise_scale=NOISE)
        return float((variance / ACCELERATION).sqrt().mean())

    def matched(self, fit: Callable[[float], FeatureNetwork], target: float, n_replicas: int) -> FeatureNetwork:
        """Bisect λ until the mean g is `target`; near an end of the range of λ where none reaches it."""
        low, high = math.log(LEAST_LAMBDA), math.log(LARGEST_LAMBDA)
        for _ in range(12):
            middle = (low + high) / 2
            network = fit(math.exp(middle))
            g = self.mean_g(network, n_replicas)
            if abs(g / target - 1) < 0.01:
                break
            low, high = (middle, high) if g > target else (low, middle)
        return network


def error_energy(network: FeatureNetwork, problem: Problem) -> Tensor:
    """Energy `(y, x)` of all coils' errors; calibration lines are predicted, measured grid lines kept."""
    filled = apply_raki(network, problem.kspace * problem.sampling.mask, problem.sampling)
    return to_image(filled - problem.kspace).abs().square().sum(-3)


def centre_and_ring(energy: Tensor) -> tuple[float, float]:
    """Mean energy of the pixels within 3 of the centre, and of those between 5 and 10."""
    y, x = (torch.arange(n) - n // 2 for n in energy.shape)
    radius = torch.hypot(y[:, None].float(), x.float())
    return float(energy[radius <= 3].mean()), float(energy[(radius >= 5) & (radius <= 10)].mean())


def measure(network: FeatureNetwork, problem: Problem, n_replicas: int) -> dict[str, float | Tensor]:
    sampled = problem.kspace * problem.sampling.mask
    filled = apply_raki(network, sampled, problem.sampling)
    images, reference = (root_sum_of_squares(to_image(array)) for array in (filled, problem.kspace))
    energy = error_energy(network, problem)
    z = convolve(sampled[:, problem.sampling.lines()], network.layers[0])
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


def draw(results: dict[str, list[dict[str, dict]]], scans: dict[str, Problem], output: Path) -> None:
    """RSS error of the coils at the g of the second reference: of slope 0, and of the best leak of each family."""
    figure = Figure(figsize=(1.9 * (len(FAMILIES) + 2), 4.4), layout="constrained")
    axes = figure.subplots(len(scans), len(FAMILIES) + 2)
    for row, (scan, levels) in zip(axes, results.items(), strict=True):
        reference, found = root_sum_of_squares(to_image(scans[scan].kspace)), levels[-1]
        top = float(reference.quantile(0.995))
        row[0].imshow(reference, cmap="gray", vmin=0, vmax=top)
        row[0].set_title(f"{scan}, fully sampled", fontsize=8)
        best = (
            min((name for name in found if name.startswith(family)), key=lambda name: found[name]["centre"])
            for family in FAMILIES
        )
        for axis, name in zip(row[1:], ("ℂLReLU 0", *best), strict=True):
            axis.imshow(found[name]["energy"].sqrt(), cmap="gray", vmin=0, vmax=0.2 * top)
            axis.set_title(f"{name}, g {found[name]['g']:.2f}\nat centre {found[name]['centre']:.1%}", fontsize=8)
        for axis in row:
            axis.set_axis_off()
    figure.suptitle("Error of all coils, 0 to 20 % of the bright signal, at equal mean g", fontsize=9)
    save(figure, output, dpi=90)


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
        references = [problem.fits(partial(complex_leaky_relu, slope=a))(REFERENCE_LAMBDA) for a in REFERENCE_SLOPES]
        targets = [problem.mean_g(reference, matching_replicas) for reference in references]
        results[scan] = [{} for _ in targets]
        for family, (function, leaks) in FAMILIES.items():
            for leak in leaks:
                fit = problem.fits(partial(lambda z, f, a: f(z, a), f=function, a=leak))
                name, row = family if family == "linear" else f"{family} {leak:g}", []
                for level, target in zip(results[scan], targets, strict=True):
                    found = measure(problem.matched(fit, target, matching_replicas), problem, replicas)
                    level[name] = found
                    row += [f"{found['g']:.3f}", f"{1e4 * found['nmse']:.1f}", f"{found['ratio']:.2f}",
                            f"{100 * found['centre']:.1f}"]  # fmt: skip
                rows.append((f"{scan}, {name}", f"{100 * found['moved']:.1f}", *row))
        centre, ring = centre_and_ring(to_image(problem.kspace).abs().square().sum(-3))
        signals.append(f"{scan} {centre / ring:.2f}")
        sentences += [answer(scan, a, level) for a, level in zip(REFERENCE_SLOPES, results[scan], strict=True)]
    print_conditions(
        f"{BRAIN} and a simulated head, 16 × 64 × 64, R={ACCELERATION}, {ACS_LINES + 1} ACS lines, not put back.\n"
        f"{features} random features, last layer 1 × {LAST_SAMPLES} by ridge regression, no linear path. λ is chosen "
        f"for equal mean g: first that of\nℂLReLU {REFERENCE_SLOPES[0]:g} at λ = {REFERENCE_LAMBDA:g}, then that of "
        f"ℂLReLU {REFERENCE_SLOPES[1]:g}. g from {replicas} replicas, noise {NOISE:g} of the RMS of k-space.\n"
        f"Centre/ring: error energy per pixel within 3 of the image centre to that at 5 to 10; of the signal itself: "
        f"{', '.join(signals)}.\nCentre %: RMS error within 3 pixels of the image centre, of the signal there."
    )
    header = ("mean g", "NMSE·1e4", "centre/ring", "centre %")
    print_table(("activation, leak", "mask off centre %", *header, *header), rows)
    click.echo("\n".join(sentences))
    if output:
        draw(results, scans, output)


def answer(scan: str, slope: float, level: dict[str, dict]) -> str:
    """One sentence from the numbers; only rows whose g is within 3 % of the reference count."""
    reference = level[f"ℂLReLU {slope:g}"]
    equal = {name: row for name, row in level.items() if abs(row["g"] / reference["g"] - 1) < 0.03}
    least, ratio, best = (min(equal, key=lambda name: equal[name][key]) for key in ("centre", "ratio", "nmse"))
    return (
        f"{scan}, g {reference['g']:.2f} ({len(equal)} of {len(level)} rows within 3 %), against ℂLReLU {slope:g}: "
        f"least error at the centre {least}, {100 * equal[least]['centre']:.1f} against "
        f"{100 * reference['centre']:.1f} %; least centre/ring {ratio}, {equal[ratio]['ratio']:.2f} against "
        f"{reference['ratio']:.2f}, its NMSE {1e4 * equal[ratio]['nmse']:.1f} against {1e4 * reference['nmse']:.1f}; "
        f"least NMSE {best}, {1e4 * equal[best]['nmse']:.1f}."
    )
