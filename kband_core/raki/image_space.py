"""RAKI in image space: activations become masks, and every layer a product or a convolution of images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from kband_core.axes import check_axes
from kband_core.fourier import to_image, to_kspace
from kband_core.raki.network import RakiNetwork, complex_leaky_relu, convolve


def activation_masks(network: RakiNetwork, lines: Tensor) -> tuple[Tensor, ...]:
    """Masks m with ℂLReLU(z) = m·z for each hidden layer, at the acquired lines `(..., coil, group, kx)`.

    m = ℂLReLU(z)·z*/|z|², 0 where z = 0; 1 everywhere if the network is linear. `(..., channel, group, kx)` each.
    """
    if network.slope == 1:
        return tuple(torch.ones_like(z) for z in network.pre_activations(lines))
    masks = []
    for z in network.pre_activations(lines):
        empty = z == 0
        masks.append(complex_leaky_relu(z, network.slope) / torch.where(empty, 1, z) * ~empty)
    return tuple(masks)


@dataclass(frozen=True)
class FrozenNetwork(RakiNetwork):
    """The complex-linear network that a network is while its activation masks stay what they were for some data."""

    masks: tuple[Tensor, ...] = ()

    def forward(self, lines: Tensor) -> Tensor:
        hidden = lines
        for layer, mask in zip(self.layers, self.masks, strict=False):
            hidden = mask * convolve(hidden, layer)
        predicted = convolve(hidden, self.layers[-1])
        if self.skip is not None:
            predicted = predicted + convolve(lines, self.skip)
        return predicted.unflatten(-3, (self.n_coils, self.n_offsets))

    __call__ = forward


def freeze(network: RakiNetwork, lines: Tensor) -> FrozenNetwork:
    """Freeze the activation masks at the acquired lines `(..., coil, group, kx)`."""
    return FrozenNetwork(
        network.layers, network.slope, network.acceleration, network.skip, masks=activation_masks(network, lines)
    )


def image_space_weights(network: RakiNetwork, shape: tuple[int, int]) -> tuple[Tensor, ...]:
    """Weights Ŵ(r) that make each layer a product of matrices at every pixel: `(..., out, in, y, x)`, first to last.

    Ŵ(r) = Σ_τ W_τ e^{−iτ·r}, a step along the lines of τ being R lines; no 1/√N. The last layer's offsets are put
    between the acquired lines, Σ_δ W_δ e^{+iδ·r_y}, so its outputs are coils. The skip, if any, comes after it.
    """
    last = [layer for layer in (network.layers[-1], network.skip) if layer is not None]
    hidden = network.layers[:-1]
    hidden = [torch.einsum("...oits,tsyx->...oiyx", layer, _phases(layer, network, shape)) for layer in hidden]
    final = [
        torch.einsum(
            "...cdits,tsyx,dy->...ciyx",
            layer.unflatten(-4, (network.n_coils, network.n_offsets)),
            _phases(layer, network, shape),
            _offset_phases(network, shape[0], layer),
        )
        for layer in last
    ]
    return (*hidden, *final)


def infer_in_image_space(network: RakiNetwork, lines: Tensor, *, first_line: int = 0) -> Tensor:
    """Reconstruct coil images `(..., coil, y, x)` by image-space operations only, from aliased coil images.

    Layers are products at every pixel, activations circular convolutions with the image of the mask. Equals the image
    of `network.forward` between its acquired lines, to rounding.

    lines `(..., coil, group, kx)`: group g is line `first_line` + gR of R·group lines. The masks come from k-space.
    """
    n_groups = check_axes(lines=(lines, "... coil group kx"))["group"]
    shape = (n_groups * network.acceleration, lines.shape[-1])
    aliased = to_image(_between_zeros(lines, network.acceleration, first_line))
    hidden = aliased
    for layer, mask in zip(network.layers, activation_masks(network, lines), strict=False):
        mask_image = to_image(_between_zeros(mask, network.acceleration, first_line))
        hidden = convolve_images(mask_image, _at_every_pixel(layer, hidden, network, shape))
    result = _interleave(network.layers[-1], hidden, network, shape)
    if network.skip is not None:
        result = result + _interleave(network.skip, aliased, network, shape)
    return result + aliased


def convolve_images(mask_image: Tensor, image: Tensor) -> Tensor:
    """Convolve two images `(..., y, x)` circularly along both axes, 1/√N included: to_image(mask·k-space).

    As a matrix it is block-circulant with circulant blocks; one roll of the flattened image would slip a line where
    the readout wraps around.
    """
    return to_image(to_kspace(mask_image) * to_kspace(image))


def mask_off_centre_energy(mask: Tensor) -> Tensor:
    """Tell how much an activation moves signal: the share of its mask's image energy outside the centre pixel.

    0 if the mask only scales, as in a linear network; what is left spreads every pixel over the image and, as masks
    resemble their own features, back to the image centre. mask `(..., channel, group, kx)`; returns `(..., channel)`.
    """
    centre = mask.mean((-2, -1)).abs().square()
    energy = mask.abs().square().mean((-2, -1))
    return 1 - centre / energy.clamp(min=torch.finfo(energy.dtype).tiny)


def pixel_angles(length: int, like: Tensor) -> Tensor:
    """Angles by which neighbouring samples differ at every pixel of a centred axis: 2π(n − N//2)/N."""
    return (torch.arange(length, device=like.device, dtype=like.real.dtype) - length // 2) * (2 * math.pi / length)


def tap_phases(angles: Tensor, steps: Tensor) -> Tensor:
    """Phases e^{i·step·angle} `(*step, angle)`."""
    turns = steps.to(angles)[..., None] * angles
    return torch.polar(torch.ones_like(turns), turns)


def centred_taps(n_taps: int, before: int, like: Tensor) -> Tensor:
    """Positions of the taps of a kernel, `before` of them at negative ones."""
    return torch.arange(n_taps, device=like.device) - before


def _phases(layer: Tensor, network: RakiNetwork, shape: tuple[int, int]) -> Tensor:
    """e^{−iτ·r} for each tap of a layer: `(line, sample, y, x)`."""
    n_lines, n_samples = layer.shape[-2:]
    steps = network.acceleration * centred_taps(n_lines, (n_lines - 1) // 2, layer)
    along_y = tap_phases(pixel_angles(shape[0], layer), -steps)
    along_x = tap_phases(pixel_angles(shape[1], layer), -centred_taps(n_samples, n_samples // 2, layer))
    return along_y[:, None, :, None] * along_x[:, None]


def _offset_phases(network: RakiNetwork, n_lines: int, like: Tensor) -> Tensor:
    """e^{+iδ·r_y} for each offset: `(offset, y)`."""
    return tap_phases(pixel_angles(n_lines, like), centred_taps(network.n_offsets, -1, like))


def _at_every_pixel(layer: Tensor, image: Tensor, network: RakiNetwork, shape: tuple[int, int]) -> Tensor:
    """Ŵ(r)·image(r) without Ŵ in memory: the taps' phases are given to the image first."""
    turned = image[..., None, None, :, :] * _phases(layer, network, shape)  # (..., in, line, sample, y, x)
    return (layer.flatten(-3) @ turned.flatten(-2).flatten(-4, -2)).unflatten(-1, shape)


def _interleave(layer: Tensor, image: Tensor, network: RakiNetwork, shape: tuple[int, int]) -> Tensor:
    """Images of the predicted lines, put where they belong between the acquired ones."""
    predicted = _at_every_pixel(layer, image, network, shape).unflatten(-3, (network.n_coils, network.n_offsets))
    return (predicted * _offset_phases(network, shape[0], layer)[..., None]).sum(-3)


def _between_zeros(lines: Tensor, acceleration: int, first_line: int) -> Tensor:
    """Acquired lines `(..., group, kx)` on the full grid `(..., group·R, kx)`."""
    full = lines.new_zeros(*lines.shape[:-2], lines.shape[-2] * acceleration, lines.shape[-1])
    full[..., first_line::acceleration, :] = lines
    return full
