"""Up to which noise the g-factor of first order holds, and what the second order adds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import click
import torch
from matplotlib.figure import Figure
from measure import print_conditions, print_table
from raki_questions_picture import save
from torch import Tensor

from kband_core.coils import root_sum_of_squares
from kband_core.fourier import to_image
from kband_core.patterns import equispaced_lines
from kband_core.phantom import coil_kspace, head_phantom, loop_coils
from kband_core.raki.fit import fit_raki_as_published
from kband_core.raki.gfactor_checks import autodiff_variance, monte_carlo_variance
from kband_core.raki.gfactor_gram import noise_matrix
from kband_core.raki.network import RakiNetwork, apply_raki, convolve

SIZE, N_COILS, ACCELERATION, ACS_LINES, HIDDEN = (48, 48), 8, 3, 24, (32, 16)
LEVELS, SLOPES = (1e-3, 1e-2, 3e-2, 1e-1, 3e-1), (0.0, 0.5)
SHOWN = 1e-1


@dataclass(frozen=True, kw_only=True)
class SmoothedNetwork(RakiNetwork):
    """The network with activations z → α z + β z* instead: real-linear, so its noise is exactly of first order."""

    pairs: tuple[tuple[Tensor, Tensor], ...]

    def forward(self, lines: Tensor) -> Tensor:
        hidden = lines
        for layer, (alpha, beta) in zip(self.layers, self.pairs, strict=False):
            z = convolve(hidden, layer)
            hidden = alpha * z + beta * z.conj()
        return convolve(hidden, self.layers[-1]).unflatten(-3, (self.n_coils, self.n_offsets))

    __call__ = forward


def smoothed(network: RakiNetwork, lines: Tensor, noise: float) -> SmoothedNetwork:
    """Put the expected derivative of each activation in its place, for samples with E|n|² = noise².

    A component of mean μ and noise SD σ is positive with probability Φ(μ/σ): E[s] = slope + (1 − slope)·Φ(μ/σ). μ and
    σ go from layer to layer: E[act] in closed form, σ through the expected derivatives. Two hidden layers, the second
    of 1 × 1.
    """
    mean, pairs = lines, []
    forward = conjugate = None  # of each hidden channel by its window's samples: (sample, channel, input)
    for layer in network.layers[:-1]:
        z, weights = convolve(mean, layer), layer.flatten(-3)
        if forward is None:
            forward = weights.expand(lines.shape[-2] * lines.shape[-1], -1, -1)
            conjugate = torch.zeros_like(forward)
        else:
            forward, conjugate = weights @ forward, weights @ conjugate
        power = forward.abs().square().sum(-1) + conjugate.abs().square().sum(-1)
        pseudo = 2 * (forward * conjugate).sum(-1).real  # E z², whose real part sets the two axes apart
        alpha_beta, means = [], []
        for part, variance in ((z.real, power + pseudo), (z.imag, power - pseudo)):
            sd = noise * (variance.mT.unflatten(-1, z.shape[-2:]).clamp(min=1e-30) / 2).sqrt()
            positive = torch.special.ndtr(part / sd)
            density = torch.exp(-((part / sd) ** 2) / 2) / math.sqrt(2 * math.pi)
            alpha_beta.append(network.slope + (1 - network.slope) * positive)
            means.append(network.slope * part + (1 - network.slope) * (part * positive + sd * density))
        mean = torch.complex(*means)
        alpha, beta = (sum(alpha_beta) / 2, (alpha_beta[0] - alpha_beta[1]) / 2)
        pairs.append((alpha, beta))
        alpha, beta = (factor.flatten(-2).mT[..., None] for factor in (alpha, beta))
        forward, conjugate = (
            alpha * forward + beta * conjugate.conj(), alpha * conjugate + beta * forward.conj(),
        )  # fmt: skip
    return SmoothedNetwork(network.layers, network.slope, network.acceleration, pairs=tuple(pairs))


def phantom() -> Tensor:
    kspace = coil_kspace(head_phantom(), loop_coils(N_COILS, object_phase=1.0), SIZE, oversampling=1)
    return kspace / kspace.abs().square().mean().sqrt()


def flipped(network: RakiNetwork, lines: Tensor, noise: float, rng: torch.Generator) -> float:
    """Share of the components before an activation whose sign one draw of noise turns."""
    noisy = lines + noise * torch.randn(lines.shape, dtype=lines.dtype, generator=rng)
    pairs = zip(network.pre_activations(lines), network.pre_activations(noisy), strict=True)
    turned = [torch.view_as_real(a) * torch.view_as_real(b) < 0 for a, b in pairs]
    return float(torch.cat([one.flatten() for one in turned]).float().mean())


def maps(network: RakiNetwork, kspace: Tensor, noise: float, n_replicas: int, n_draws: int) -> dict[str, Tensor]:
    """Variance maps `(y, x)` relative to a fully sampled image, from every road; simulated ones are the truth.

    With D the derivative at a noisy scan, |E D|² is the first chaos of the output, V₁, and E|D|² = V₁ + 2V₂ + 3V₃ + …,
    where the variance is V₁ + V₂ + V₃ + …: below and above. Their mean is exact up to V₂.
    """
    lines = equispaced_lines(SIZE[0], ACCELERATION)
    sampled = kspace * lines.mask
    images = to_image(apply_raki(network, sampled, lines))
    combination = images.conj() / root_sum_of_squares(images)
    rng = torch.Generator().manual_seed(4)

    def first_order(scan: Tensor, linearisation: str) -> Tensor:
        return noise_matrix(network, scan, lines, linearisation=linearisation).variance(combination)

    draws = [noise * torch.randn(kspace.shape, dtype=kspace.dtype, generator=rng) for _ in range(n_draws)]
    found = {
        "simulated": monte_carlo_variance(
            network, sampled, lines, combination, rng=rng, n_replicas=n_replicas, noise_scale=noise
        ),
        "frozen": first_order(sampled, "frozen"),
        "widely linear": first_order(sampled, "widely_linear"),
        "smoothed": autodiff_variance(smoothed(network, sampled[:, lines.lines()], noise), sampled, lines, combination),
        "noisy scans": sum(first_order(sampled + draw * lines.mask, "widely_linear") for draw in draws) / n_draws,
    }
    found["second order"] = (found["smoothed"] + found["noisy scans"]) / 2
    return {name: (variance / ACCELERATION).sqrt() for name, variance in found.items()}


def draw(means: dict[float, list[dict[str, float]]], shown: dict[float, dict[str, Tensor]], output: Path) -> None:
    names = ("widely linear", "smoothed", "noisy scans", "second order")
    figure = Figure(figsize=(13, 6), layout="constrained")
    axes = figure.subplots(len(SLOPES), 5, width_ratios=(1.8, 1, 1, 1, 1))
    for row, slope in zip(axes, SLOPES, strict=True):
        for name in ("frozen", *names):
            bias = [100 * (level[name] / level["simulated"] - 1) for level in means[slope]]
            row[0].semilogx(LEVELS, bias, marker=".", label=name)
        row[0].axhline(0, color="black", linewidth=0.5)
        row[0].set(xlabel="noise, of the RMS of k-space", title=f"bias of mean g in %, slope {slope:g}")
        row[0].legend(fontsize=7)
        top = float(shown[slope]["simulated"].quantile(0.99))
        for axis, name in zip(row[1:], ("simulated", "widely linear", "smoothed", "second order"), strict=True):
            axis.imshow(shown[slope][name], cmap="viridis", vmin=0, vmax=top)
            axis.set_title(f"{name}, noise {SHOWN:g}\ng 0 to {top:.1f}", fontsize=9)
            axis.set_axis_off()
    save(figure, output, dpi=80)


@click.command()
@click.option("--replicas", default=1000, show_default=True, help="Noisy replicas of each simulated map.")
@click.option("--draws", default=16, show_default=True, help="Noisy scans at which the derivative is taken.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Picture of bias and maps.")
def propagation(replicas: int, draws: int, output: Path | None) -> None:
    """Compare g of first and of second order with noisy replicas while the noise grows."""
    kspace, first = phantom(), SIZE[0] // 2 - ACS_LINES // 2
    rows, means, shown, sentences = [], {}, {}, []
    for slope in SLOPES:
        network = fit_raki_as_published(
            kspace[:, first : first + ACS_LINES + 1], ACCELERATION, rng=torch.Generator().manual_seed(0),
            hidden=HIDDEN, slope=slope,
        )  # fmt: skip
        lines, rng, means[slope] = kspace[:, ::ACCELERATION], torch.Generator().manual_seed(5), []
        for noise in LEVELS:
            found = maps(network, kspace, noise, replicas, draws)
            if noise == SHOWN:
                shown[slope] = found
            mean = {name: float(g.mean()) for name, g in found.items()}
            means[slope].append(mean)
            bias = [f"{mean[name]:.3f} ({100 * (mean[name] / mean['simulated'] - 1):+.1f})"
                    for name in found if name != "simulated"]  # fmt: skip
            turned = flipped(network, lines, noise, rng)
            rows.append((f"{slope:g}, {noise:g}", f"{100 * turned:.1f}", f"{mean['simulated']:.3f}", *bias))
        first_order, second = (
            max(abs(level[name] / level["simulated"] - 1) for level in means[slope])
            for name in ("widely linear", "second order")
        )
        sentences.append(
            f"Slope {slope:g}: the largest bias of mean g is {first_order:.1%} for the widely linear map of the "
            f"noiseless scan and {second:.1%} for the second order."
        )
    print_conditions(
        f"simulated head, {N_COILS} coils, {SIZE[0]} × {SIZE[1]}, R={ACCELERATION}, {ACS_LINES + 1} noiseless ACS "
        f"lines, not put back; {HIDDEN[0]}/{HIDDEN[1]} channels, 500 epochs.\nMean g of all pixels, in brackets its "
        f"bias in percent of the simulated one ({replicas} replicas, activations computed anew).\nNoise: √E|n|² of a "
        f"sample to the RMS of k-space. Signs turned: of real and imaginary parts before the activations, in percent.\n"
        f"Smoothed: expected derivatives, g² from below. Noisy scans: mean g² of the widely linear maps of {draws} "
        f"noisy scans, from above. Second order: mean of both g²."
    )
    header = ("slope, noise", "signs turned %", "simulated", "frozen", "widely linear", "smoothed", "noisy scans",
              "second order")  # fmt: skip
    print_table(header, rows)
    click.echo("\n".join(sentences))
    if output:
        draw(means, shown, output)
