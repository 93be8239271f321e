"""The complex network of RAKI, and how it fills the missing lines of a scan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

from kband_core.axes import check_axes, check_finite
from kband_core.device import send
from kband_core.footprint import circular_columns
from kband_core.plural import counted
from kband_core.sampling import Grid


@dataclass(frozen=True)
class RakiNetwork:
    """A network f from acquired lines `(..., coil, group, kx)` to missing ones `(..., coil, offset, group, kx)`.

    Convolutions without bias and, between them, ℂLReLU: f(c·x) = c·f(x) for every c > 0. Group g is the acquired line
    gR, its offsets are the lines gR+1, gR+2, … Both axes wrap around, which lets image space repeat the network.

    layers: weights `(..., out, in, line, sample)`, first to last; a convolution of two lines sees groups g and g+1,
    samples are centred. The last one's outputs are in the order coil, offset. Leading axes are slices: one network
    each. slope: of ℂLReLU; 1 makes f linear. skip: a linear path beside the layers, `(..., out, coil, line, sample)`.
    cut_short: steps of training that were done, and planned, where the time for them was over.
    """

    layers: tuple[Tensor, ...]
    slope: float
    acceleration: int
    skip: Tensor | None = None
    cut_short: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.acceleration < 2 or not self.layers:
            raise ValueError(
                f"RakiNetwork: R={self.acceleration}, {counted(len(self.layers), 'layer')}; at least R=2, 1 "
                "needed"
            )
        for number, (layer, following) in enumerate(pairwise(self.layers), start=1):
            if layer.shape[-4] != following.shape[-3]:
                raise ValueError(
                    f"RakiNetwork: layer {number} makes {counted(layer.shape[-4], 'channel')}, "
                    f"but layer {number + 1} takes {following.shape[-3]}"
                )
        expected = (self.n_coils * self.n_offsets, self.n_coils)
        made = {"the last layer": (self.layers[-1].shape[-4], self.n_coils)}
        if self.skip is not None:
            made["skip"] = tuple(self.skip.shape[-4:-2])
        for name, shape in made.items():
            if shape != expected:
                raise ValueError(
                    f"RakiNetwork: {name} makes {counted(shape[0], 'channel')} for {counted(shape[1], 'coil')}, "
                    f"but R={self.acceleration} of {counted(self.n_coils, 'coil')} needs {expected[0]}"
                )

    @property
    def n_coils(self) -> int:
        return self.layers[0].shape[-3]

    @property
    def n_offsets(self) -> int:
        return self.acceleration - 1

    def of_slice(self, index: int) -> RakiNetwork:
        """Take the network of one slice along the first leading axis; layers that slices share stay as they are."""
        batched = self.layers[-1].ndim

        def one(weights: Tensor) -> Tensor:
            return weights[index] if weights.ndim == batched else weights

        skip = None if self.skip is None else one(self.skip)
        return replace(self, layers=tuple(map(one, self.layers)), skip=skip)

    def forward(self, lines: Tensor) -> Tensor:
        """Predict `(..., coil, offset, group, kx)` from the acquired lines `(..., coil, group, kx)`."""
        hidden = self.pre_activations(lines)
        predicted = convolve(complex_leaky_relu(hidden[-1], self.slope) if hidden else lines, self.layers[-1])
        if self.skip is not None:
            predicted = predicted + convolve(lines, self.skip)
        return predicted.unflatten(-3, (self.n_coils, self.n_offsets))

    __call__ = forward

    def pre_activations(self, lines: Tensor) -> tuple[Tensor, ...]:
        """What enters the activation of each hidden layer: `(..., channel, group, kx)`, first to last."""
        check_axes(lines=(lines, "... coil group kx"), weights=(self.layers[0], "... out coil line sample"))
        hidden: list[Tensor] = []
        for layer in self.layers[:-1]:
            hidden.append(convolve(complex_leaky_relu(hidden[-1], self.slope) if hidden else lines, layer))
        return tuple(hidden)


def complex_leaky_relu(z: Tensor, slope: float) -> Tensor:
    """ℂLReLU: multiply negative real parts and negative imaginary parts by `slope`, each separately."""
    if slope == 1:
        return z
    return torch.view_as_complex(leaky_relu(torch.view_as_real(z), slope))


def convolve(lines: Tensor, weights: Tensor) -> Tensor:
    """Circular convolution of `(..., in, group, kx)` with `(..., out, in, line, sample)`: `(..., out, group, kx)`."""
    columns = circular_columns(lines, *weights.shape[-2:])
    return (weights.flatten(-3) @ columns).unflatten(-1, lines.shape[-2:])


def apply_raki(network: RakiNetwork, kspace: Tensor, sampling: Grid) -> Tensor:
    """Fill every missing line between the acquired ones, and the gap beyond the first and the last of them.

    Measured lines are kept, those of the ACS too; a sampling without the ACS has them predicted instead. Lines further
    out than one gap stay as they are, so partial Fourier sampling remains partial. Lines of the R grid that were not
    measured count as zero; where ky is not a multiple of R, lines of zeros complete it.

    kspace `(..., coil, ky, kx)`, its leading axes those of the network or broadcast with them; sampling: every R-th
    line, from any first line, plus any others. Raises `ValueError` for others, and if a sample is not finite.
    """
    check_finite("apply_raki", kspace)
    return fill_lines_by(network, kspace, sampling)


def fill_lines_by(network: RakiNetwork, kspace: Tensor, sampling: Grid) -> Tensor:
    """Do what `apply_raki` does to samples known to be finite, as are all that a scan has let in: a GPU is not waited
    for."""
    mask = sampling.here().lines().cpu()
    lengths = check_axes(kspace=(kspace, "... coil ky kx"), sampling=(mask, "ky"))
    if lengths["coil"] != network.n_coils:
        raise ValueError(
            f"apply_raki: the network has {counted(network.n_coils, 'coil')}, but kspace has "
            f"{lengths['coil']}"
        )
    acceleration = network.acceleration
    first, last = sampling.uniform_ends("apply_raki", acceleration)
    start, n_groups = first % acceleration, -(-lengths["ky"] // acceleration)

    grid = kspace.new_zeros(*kspace.shape[:-2], n_groups, lengths["kx"])
    grid[..., first // acceleration : last // acceleration + 1, :] = kspace[..., first : last + 1 : acceleration, :]
    filled = network.forward(grid).movedim(-3, -2).flatten(-3, -2)  # (..., coil, group·offset, kx)

    lines = torch.arange(max(first - acceleration + 1, 0), min(last + acceleration, lengths["ky"]))
    lines = lines[~mask[lines]]
    group, offset = (lines - start - 1) // acceleration % n_groups, (lines - start - 1) % acceleration
    position = group * network.n_offsets + offset
    result = kspace.expand(*filled.shape[:-3], *kspace.shape[-3:]).clone()
    lines, position = (send(index, kspace.device) for index in (lines, position))
    return result.index_copy_(-2, lines, filled.index_select(-2, position))
