"""The noise of every pixel at once: one Gram matrix of the network's derivatives, no Jacobian."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from kband_core.fourier import interpolate
from kband_core.raki.gfactor_lines import Filler, NoisePaths, as_network, noise_factor, noise_paths
from kband_core.raki.gfactor_rows import LARGEST_BLOCK, gram_by_lags, gram_by_rows
from kband_core.raki.image_space import activation_masks, centred_taps, pixel_angles, tap_phases
from kband_core.raki.network import RakiNetwork
from kband_core.sampling import Grid

Linearisation = Literal["frozen", "widely_linear"]


@dataclass(frozen=True)
class NoiseMatrix:
    """V(r): images combined with weights p have noise of variance σ²(r) = pᴴ(r)·V(r)·p(r).

    A trigonometric polynomial in r of few terms, known at the pixels of a grid just fine enough for them.

    samples `(..., coil, coil, y, x)` of that grid; shape: of the image.
    """

    samples: Tensor
    shape: tuple[int, int]

    def variance(self, combination: Tensor) -> Tensor:
        """σ² `(..., y, x)` of the image Σ_j p_j I_j; combination p `(..., coil, y, x)`. A few rows at a time."""
        columns = _resample(self.samples, self.shape[0], -2)
        n_rows = max(1, LARGEST_BLOCK // (columns[..., 0, 0].numel() * self.shape[1]))
        blocks = []
        for rows in torch.arange(self.shape[0]).split(n_rows):
            weights = combination[..., rows.to(combination.device), :]
            matrix = _resample(columns[..., rows.to(columns.device), :], self.shape[1], -1)
            blocks.append(torch.einsum("...jyx,...jkyx,...kyx->...yx", weights.conj(), matrix, weights).real)
        return torch.cat(blocks, -2).clamp(min=0)


def noise_matrix(
    filler: Filler,
    kspace: Tensor,
    sampling: Grid,
    *,
    covariance: Tensor | None = None,
    linearisation: Linearisation = "frozen",
) -> NoiseMatrix:
    """Propagate the noise of the acquired samples, of covariance Σ between coils, to first order into coil images.

    The derivative of pixel r by coil i of the acquired sample k is, but for the plane wave e^{ik·r},

        z_i(k, r) = Σ_τ e^{−iτ·r} Σ_c A_τic(k−τ) B_c(r)ᵀp + D_i(r)ᵀp,

    A the derivative of hidden channel c by the source at tap τ, B the last layer in image space, D the skip and the
    measured sample itself. The samples k thus enter all pixels by the same Gram matrix over (line tap, channel),
    Σ_k YᴴY with Y(k, r_x) = Σ_s e^{−is·r_x} A_s(k−s): a polynomial in r_x alone. Lines whose noise spreads otherwise,
    beside the ACS and at the edges, have Gram matrices of their own.

    A GRAPPA kernel has D alone. Its lines end as `apply_grappa` ends them, but samples are taken to wrap around, as
    those of a network do; it is their outermost few that spread a little otherwise.

    "frozen" derives the network with fixed activation masks; "widely_linear" with its true derivative
    dz → α dz + β dz*, of which both parts add their noise.
    """
    network = as_network(filler)
    paths = noise_paths(network, sampling, wraps=isinstance(filler, RakiNetwork))
    hidden, linear = _split(network)
    lines = paths.acquired(kspace, network.acceleration)
    derivatives = _derivatives(network, lines, linearisation)
    factor = noise_factor(covariance, kspace)
    shape = tuple(kspace.shape[-2:])
    n_y = min(2 * paths.longest_shift + 1, shape[0])
    n_x = min(2 * _longest_reach(hidden, linear) + 1, shape[1])
    white = (torch.einsum("...oits,ij->...ojts", hidden[0], factor), *hidden[1:]) if hidden else ()

    total = kspace.new_zeros(1, 1, 1, 1) + paths.n_beside * shape[1] * (factor @ factor.mH).conj()
    for number in range(len(paths.shifts)):
        groups = paths.groups[paths.classes == number].to(kspace.device)
        gram = _gram(white, derivatives, groups, factor, shape[1])
        gram = _resample(gram, n_x, -3) if gram.shape[-3] > 1 else gram
        fan = _fan(network, hidden, linear, paths, number, (n_y, n_x), factor)  # (..., x, tap·channel + coil, y, coil)
        spread = (gram @ fan.flatten(-2)).unflatten(-1, fan.shape[-2:])
        total = total + torch.einsum("...xayj,...xayk->...yxjk", fan.conj(), spread)
    samples = (total / (shape[0] * shape[1])).movedim((-2, -1), (-4, -3))
    return NoiseMatrix(samples.expand(*samples.shape[:-2], n_y, n_x), shape)


def _split(network: RakiNetwork) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Layers with hidden channels, and kernels that see the acquired lines without any activation."""
    linear = () if network.skip is None else (network.skip,)
    if len(network.layers) == 1:
        return (), (*network.layers, *linear)
    for number, layer in enumerate(network.layers[1:], start=2):
        taps = tuple(layer.shape[-2:])
        if taps != (1, 1) and not (number == len(network.layers) and taps[0] == 1):
            raise ValueError(
                f"noise_matrix: layer {number} has {taps[0]} × {taps[1]} taps, "
                "1 × 1 needed between the first and the last, one line in the last; use method autodiff"
            )
    return network.layers, linear


def _derivatives(
    network: RakiNetwork, lines: Tensor, linearisation: Linearisation
) -> tuple[tuple[Tensor, Tensor | None], ...]:
    """α and β of each activation's derivative dz → α dz + β dz*; masks and `None` where it is complex-linear."""
    if linearisation == "frozen" or network.slope == 1:
        return tuple((mask, None) for mask in activation_masks(network, lines))
    slopes = []
    for z in network.pre_activations(lines):
        real, imaginary = (torch.where(part > 0, 1.0, network.slope).to(part) for part in (z.real, z.imag))
        slopes.append(((real + imaginary) / 2, (real - imaginary) / 2))
    return tuple(slopes)


def _longest_reach(hidden: tuple[Tensor, ...], linear: tuple[Tensor, ...]) -> int:
    """Samples between the two images of one acquired sample that are furthest apart."""
    sizes = [[layer.shape[-1]] for layer in linear]
    sizes += [[hidden[0].shape[-1], hidden[-1].shape[-1]]] if hidden else []
    before = max(sum(n // 2 for n in path) for path in sizes)
    return before + max(sum((n - 1) // 2 for n in path) for path in sizes)


def _fan(
    network: RakiNetwork,
    hidden: tuple[Tensor, ...],
    linear: tuple[Tensor, ...],
    paths: NoisePaths,
    number: int,
    shape: tuple[int, int],
    factor: Tensor,
) -> Tensor:
    """B over D for a class of lines: from (line tap, channel) and coil into coil images, `(..., x, row, y, coil)`."""
    angle_y, angle_x = pixel_angles(shape[0], factor), pixel_angles(shape[1], factor)

    def along_lines(n_lines: int) -> Tensor:
        shifts = paths.shifts_of(n_lines)[number].to(factor.device)
        return tap_phases(angle_y, shifts) * (shifts != paths.NOWHERE)[..., None]  # (tap, offset, y)

    def along_samples(layer: Tensor) -> Tensor:
        n_samples = layer.shape[-1]
        phases = tap_phases(angle_x, -centred_taps(n_samples, n_samples // 2, layer))
        return torch.einsum("...oits,sx->...oitx", layer, phases).unflatten(-4, (network.n_coils, -1))

    direct = torch.eye(network.n_coils, dtype=factor.dtype, device=factor.device)
    direct = direct[:, None].expand(shape[1], -1, shape[0], -1)
    for kernel in linear:
        lines = along_lines(kernel.shape[-2])
        direct = direct + torch.einsum("...joitx,toy->...xiyj", along_samples(kernel), lines)
    if not hidden:
        return direct
    channels = along_samples(hidden[-1]).squeeze(-2)
    channels = torch.einsum("...jocx,toy->...xtcyj", channels, along_lines(hidden[0].shape[-2])).flatten(-4, -3)
    return torch.cat([channels, direct.expand(*channels.shape[:-4], *direct.shape[-4:])], -3)


def _gram(
    hidden: tuple[Tensor, ...],
    derivatives: tuple[tuple[Tensor, Tensor | None], ...],
    groups: Tensor,
    factor: Tensor,
    n_samples: int,
) -> Tensor:
    """Σ_k [Y, Lᵀ]ᴴ[Y, Lᵀ] over the samples k of some groups: `(..., x, tap·channel + coil, tap·channel + coil)`.

    Y is derived by white noise, so the first layer holds L already; the measured sample and the skip see Lᵀ.
    """
    direct = len(groups) * n_samples * (factor.conj() @ factor.mT)
    if not hidden:
        return direct[None]
    n_angles = min(2 * hidden[0].shape[-1] - 1, n_samples)
    angles = pixel_angles(n_angles, factor)
    gram, summed = (gram_by_lags if len(hidden) == 2 else gram_by_rows)(hidden[:-1], derivatives, groups, angles)
    cross = summed.mH @ factor.mT  # (..., x, tap·channel, coil)
    direct = direct.expand(*gram.shape[:-2], *direct.shape)
    return torch.cat([torch.cat([gram, cross], -1), torch.cat([cross.mH, direct], -1)], -2)


def _resample(samples: Tensor, length: int, dim: int) -> Tensor:
    """A trigonometric polynomial at `length` pixels of one axis, by zeros around its Fourier coefficients."""
    return samples if samples.shape[dim] == length else interpolate(samples, (length,), (dim,))
