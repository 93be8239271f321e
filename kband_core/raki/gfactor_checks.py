"""Two independent roads to the noise of a pixel: one backward pass for each, and noise itself."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from kband_core.fourier import to_image, to_kspace
from kband_core.raki.gfactor_gram import Linearisation
from kband_core.raki.gfactor_lines import Filler, as_network, fill_lines, noise_factor, noise_paths
from kband_core.raki.image_space import freeze
from kband_core.raki.network import RakiNetwork
from kband_core.sampling import Grid

LARGEST_BATCH = 1 << 23  # complex numbers of k-space for which all layers are kept at once


def autodiff_variance(
    filler: Filler,
    kspace: Tensor,
    sampling: Grid,
    combination: Tensor,
    *,
    covariance: Tensor | None = None,
    linearisation: Linearisation = "widely_linear",
    pixels: Tensor | None = None,
) -> Tensor:
    """Variance of the noise in the combined image, by one backward pass for each pixel: exact to first order.

    The gradient c of Re Σ_j p_j I_j gives Re e = Re cᴴn, so 2·E[(Re e)²] = cᴴΣc: the noise along the real axis, to
    which `combination` must turn the signal, and the noise of a magnitude image. "frozen" goes through fixed masks,
    "widely_linear" through the network as it is.

    pixels `(pixel, 2)`, y and x: only these, `(..., pixel)`; else all, `(..., y, x)`.
    """
    shape = kspace.shape[-2:]
    kspace = _one_per_network(filler, kspace)
    factor = noise_factor(covariance, kspace)
    if linearisation == "frozen" and isinstance(filler, RakiNetwork):
        lines = noise_paths(filler, sampling, wraps=True).acquired(kspace, filler.acceleration)
        filler = freeze(filler, lines)
    wanted = torch.cartesian_prod(torch.arange(shape[0]), torch.arange(shape[1])) if pixels is None else pixels
    variances = []
    with torch.enable_grad():
        source = kspace.detach().requires_grad_()
        filled = fill_lines(filler, source, sampling)
        for some in wanted.to(kspace.device).split(max(1, LARGEST_BATCH // (filled.numel() * _width(filler)))):
            chosen = torch.zeros(len(some), *[1] * (filled.ndim - 2), *shape, dtype=kspace.dtype, device=kspace.device)
            chosen[(torch.arange(len(some)), *[0] * (filled.ndim - 2), some[:, 0], some[:, 1])] = 1
            cotangents = to_kspace(chosen * combination.conj()).expand(-1, *filled.shape)
            (gradient,) = torch.autograd.grad(filled, source, cotangents, retain_graph=True, is_grads_batched=True)
            measured = gradient[..., sampling.lines().to(gradient.device), :].flatten(-2)
            variances.append((factor.mH @ measured).abs().square().sum((-2, -1)))
    variance = torch.cat(variances).movedim(0, -1)
    return variance.unflatten(-1, shape) if pixels is None else variance


def monte_carlo_variance(
    filler: Filler,
    kspace: Tensor,
    sampling: Grid,
    combination: Tensor,
    *,
    rng: torch.Generator,
    covariance: Tensor | None = None,
    n_replicas: int = 1000,
    noise_scale: float = 1.0,
) -> Tensor:
    """Variance `(..., y, x)` of the noise in the combined image over replicas of the scan with fresh noise.

    Every replica passes the real network, activations and all. As in `autodiff_variance` it is twice the variance
    along the real axis. Its own relative error is √(2/n), that of g half of it: 2.2 % for 1000 replicas.

    noise_scale: noise is given as Σ·noise_scale² and its variance divided by it. Small values keep to first order;
    1 shows the noise of this very scan if Σ is its covariance.
    """
    kspace = _one_per_network(filler, kspace)
    factor = noise_factor(covariance, kspace) * noise_scale
    fill = partial(fill_lines, filler, sampling=sampling)
    measured = sampling.lines()[:, None].to(kspace.device)
    clean = fill(kspace)
    total = square = 0.0
    for some in torch.arange(n_replicas).split(max(1, LARGEST_BATCH // (clean.numel() * _width(filler)))):
        noise = torch.randn(len(some), *kspace.shape, dtype=kspace.dtype, generator=rng, device=rng.device)
        noise = torch.einsum("ij,...jyx->...iyx", factor, noise.to(kspace.device))
        change = fill(kspace + noise * measured) - clean
        change = (combination * to_image(change)).sum(-3).real
        total, square = total + change.sum(0), square + change.square().sum(0)
    variance = (square - total.square() / n_replicas) / (n_replicas - 1)
    return 2 * variance / noise_scale**2


def _one_per_network(filler: Filler, kspace: Tensor) -> Tensor:
    """The k-space once for each slice that has weights of its own: its noise is not to be added up over them."""
    slices = torch.broadcast_shapes(as_network(filler).layers[0].shape[:-4], kspace.shape[:-3])
    return kspace.expand(*slices, *kspace.shape[-3:])


def _width(filler: Filler) -> int:
    """Complex numbers that one sample of k-space needs on its way, roughly."""
    network = as_network(filler)
    sizes = [layer[..., 0, :, :, :].numel() + layer.shape[-4] for layer in network.layers]
    return max(1, sum(sizes) // (network.acceleration * network.n_coils))
