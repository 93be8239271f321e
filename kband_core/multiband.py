"""Several slices excited at once (multiband, simultaneous multi-slice): what coils measure of their sum.

y = M Σ_s P_s F S_s x_s. Blips of the slice gradient give each slice s a phase along ky, P_s = e^{2πi ky δ_s}, which
shifts its image by the fraction δ_s of the field of view (CAIPIRINHA), so that pixels fold onto others that coils tell
apart. No δ is rounded to whole pixels.

Setsompop et al., Blipped-controlled aliasing in parallel imaging for simultaneous multislice EPI, MRM 67:1210 (2012).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from kband_core.axes import check_axes
from kband_core.coils import coil_images, combine, sample_energy
from kband_core.fourier import to_image, to_kspace
from kband_core.operators import IN_CACHE
from kband_core.sampling import Grid
from kband_core.solvers import solve_normal
from kband_core.threads import side_by_side


def blip_phase(n_rows: int, shifts: Sequence[float]) -> Tensor:
    """Return P `(slice, ky)`, complex64: e^{2πi ky δ}, ky counted from the centre of k-space, of each shift δ."""
    ky = torch.arange(n_rows, dtype=torch.float64) - n_rows // 2
    turns = ky * torch.tensor(shifts, dtype=torch.float64)[:, None]
    return torch.polar(torch.ones_like(turns), 2 * torch.pi * turns).to(torch.complex64)


class MultibandOperator:
    """A = M Σ_s P_s F S_s: images of slices `(slice, set, y, x)` → their common k-space `(coil, ky, kx)`.

    `csm` `(slice, set, coil, y, x)`: one or more sets of maps for each slice; `shifts`: δ of each.
    """

    def __init__(self, sampling: Grid, csm: Tensor, shifts: Sequence[float]) -> None:
        wanted = "ky kx" if sampling.mask.shape[-1] > 1 else "ky line"
        check_axes(csm=(csm, "slice set coil ky kx"), mask=(sampling.mask, wanted))
        if len(shifts) != len(csm):
            raise ValueError(f"{len(shifts)} shifts of {len(csm)} slices, as many expected")
        self.sampling, self.csm = sampling, csm
        self._phase = blip_phase(csm.shape[-2], shifts).to(csm.device)[:, None, :, None]
        self._n_threads = torch.get_num_threads()

    def forward(self, image: Tensor) -> Tensor:
        """A: `(slice, set, y, x)` → `(coil, ky, kx)`, zero where nothing was measured."""
        return self.sampling.mask * to_kspace(_folded(image, self.csm, self._phase), (-1,))

    def adjoint(self, kspace: Tensor) -> Tensor:
        """Aᴴ: `(coil, ky, kx)` → `(slice, set, y, x)`."""
        return _unfolded(to_image(self.sampling.mask * kspace, (-1,)), self.csm, self._phase)

    def normal(self, image: Tensor) -> Tensor:
        """AᴴA. Of whole lines nothing changes along kx: columns are apart, and computed side by side, with a transform
        along the last axis, which reads its memory in order. What happens between the transforms is a convolution for
        every two slices, which commutes with shifts: none is needed.
        """
        if self.sampling.mask.shape[-1] > 1:
            return self.adjoint(self.forward(image))
        columns = image.mT.contiguous().unsqueeze(-2).split([csm.shape[-3] for csm in self._columns], dim=-3)
        parts = list(zip(columns, self._columns, strict=True))
        return torch.cat(side_by_side(self._of_columns, parts, self._n_threads), dim=-2).mT

    def _of_columns(self, part: tuple[Tensor, Tensor]) -> Tensor:
        """AᴴA of some columns `(slice, set, x, 1, y)`, with their maps; `(slice, set, x, y)`."""
        image, csm = part
        kspace = torch.fft.fft((csm * image).sum(1))
        together = (kspace * self._edge_phase).sum(0)
        coil_image = torch.fft.ifft(self._edge_phase.conj() * together)
        return (csm.conj() * coil_image.unsqueeze(1)).sum(-2)

    @cached_property
    def _edge_phase(self) -> Tensor:
        """The phase of acquired lines, zero for others, with the centre of k-space at the edge: `(slice, 1, 1, ky)`."""
        return torch.fft.ifftshift(self.sampling.mask * self._phase, (-2,)).mT

    @cached_property
    def _columns(self) -> list[Tensor]:
        """Maps `(slice, set, x, coil, y)` of some columns at a time; a GPU takes all at once."""
        csm = self.csm.movedim(-1, -3)
        n_bytes = csm.numel() * csm.element_size() // csm.shape[-3]
        together = max(IN_CACHE // n_bytes, 1) if csm.device.type == "cpu" else csm.shape[-3]
        return [part.contiguous() for part in csm.split(together, dim=-3)]


def unfold(operator: MultibandOperator, kspace: Tensor, *, regularisation: float, n_iterations: int) -> Tensor:
    """Tell slices apart by their coil maps: min ‖A x − y‖² + λ‖x‖²; returns `(slice, set, y, x)`.

    λ compares with AᴴA of one slice, which is at most 1.
    """
    sets = operator.csm.shape[:2]
    flat = _OneSystem(operator)
    image = solve_normal(flat, operator.adjoint(kspace).flatten(0, 1), regularisation, n_iterations)
    return image.unflatten(0, sets)


def with_air(image: Tensor, operator: MultibandOperator, everywhere: MultibandOperator, kspace: Tensor) -> Tensor:
    """Put into pixels that have no map in `operator`, and are zero in its image `(slice, set, y, x)`, what it leaves of
    the measurement, by the maps of `everywhere`: air then has the noise of any other pixel, without a border.
    """
    left = everywhere.adjoint(kspace - operator.forward(image)) * operator.sampling.acceleration()
    return torch.where((operator.csm == 0).all(-3), left, image)


def missed_share(operator: MultibandOperator, image: Tensor, kspace: Tensor, noise: Tensor | float) -> float:
    """Return the share of the measured energy that an image `(slice, set, y, x)` misses beyond noise.

    `noise` is the SD of that of every coil. Maps of other slices, or shifts of another sign, miss much.
    """
    measured = operator.sampling.mask * kspace
    n_samples = operator.sampling.mask.expand(kspace.shape[-2:]).sum() * kspace.shape[-3]
    missed = sample_energy(measured - operator.forward(image)).sum() - noise**2 * n_samples
    return float(missed.clamp(min=0) / sample_energy(measured).sum().clamp(min=torch.finfo(torch.float32).tiny))


class _OneSystem:
    """AᴴA of all slices and sets as those of one image `(set, y, x)`: they belong to one system of equations."""

    def __init__(self, operator: MultibandOperator) -> None:
        self._operator = operator

    def normal(self, image: Tensor) -> Tensor:
        return self._operator.normal(image.unflatten(0, self._operator.csm.shape[:2])).flatten(0, 1)


def _folded(image: Tensor, csm: Tensor, phase: Tensor) -> Tensor:
    """Σ_s P_s F S_s along y alone: `(slice, set, y, x)` → `(coil, ky, x)`."""
    return (phase * to_kspace(coil_images(image, csm), (-2,))).sum(0)


def _unfolded(lines: Tensor, csm: Tensor, phase: Tensor) -> Tensor:
    """The adjoint of `_folded`."""
    return combine(to_image(phase.conj() * lines, (-2,)), csm)
