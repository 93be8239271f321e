"""The encoding model A of a scan: what its coils measure of an image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from kband_core.axes import check_axes
from kband_core.coils import coil_images, combine
from kband_core.device import send
from kband_core.fourier import to_image, to_kspace, uncentred
from kband_core.sampling import Grid, Trajectory
from kband_core.shots import Shots
from kband_core.shots_operator import ShotsOperator
from kband_core.threads import count_parts, side_by_side
from kband_core.trajectory_operator import TrajectoryOperator

IN_CACHE = 1 << 21  # bytes of coil images that a core transforms without fetching them anew from main memory


class EncodingOperator(Protocol):
    """A: image sets `(..., set, y, x)` → what each coil measures of them by `sampling`, with maps `csm`."""

    sampling: Grid | Trajectory | Shots
    csm: Tensor

    def forward(self, image: Tensor) -> Tensor:
        """A."""

    def adjoint(self, kspace: Tensor) -> Tensor:
        """Aᴴ."""

    def normal(self, image: Tensor) -> Tensor:
        """AᴴA."""


OPERATORS = {Trajectory: TrajectoryOperator, Shots: ShotsOperator}  # of what lies on no grid


def encoding_operator(sampling: Grid | Trajectory | Shots, csm: Tensor) -> EncodingOperator:
    """Return the operator of a scan: `csm` `(..., set, coil, y, x)`, one or more sets of coil sensitivity maps.

    With two sets it is that of soft SENSE (Uecker 2014). Raises `ValueError` if sampling and maps do not fit.
    """
    return OPERATORS.get(type(sampling), GridOperator)(sampling, csm)


def predicted_kspace(image: Tensor, csm: Tensor) -> Tensor:
    """F·S: what every coil would measure of an image, were all samples acquired.

    `image` `(..., set, y, x)`, `csm` `(..., set, coil, y, x)`; returns `(..., coil, ky, kx)`.
    """
    return to_kspace(coil_images(image, csm))


class GridOperator:
    """A = M·F·S: image sets `(..., set, y, x)` → k-space `(..., coil, ky, kx)`, zero where nothing was measured.

    The grid's mask is `(..., ky, kx)`, or `(..., ky, 1)` of whole lines: then AᴴA needs no transform along kx.
    """

    def __init__(self, sampling: Grid, csm: Tensor) -> None:
        wanted = "... ky kx" if sampling.mask.shape[-1] > 1 else "... ky line"
        check_axes(csm=(csm, "... set coil ky kx"), mask=(sampling.mask, wanted))
        self.sampling, self.csm = sampling, csm
        self._mask = sampling.mask.unsqueeze(-3)  # the same for every coil
        self._n_threads = torch.get_num_threads()

    def forward(self, image: Tensor) -> Tensor:
        """A: `(..., set, y, x)` → `(..., coil, ky, kx)`."""
        return self._mask * predicted_kspace(image, self.csm)

    def adjoint(self, kspace: Tensor) -> Tensor:
        """Aᴴ: `(..., coil, ky, kx)` → `(..., set, y, x)`. On a CPU only lines that were acquired are transformed."""
        if kspace.is_cuda or not self.has_columns:
            return combine(to_image(self._mask * kspace), self.csm)
        n_lines, acquired = kspace.shape[-2], send(self.sampling.here().lines().nonzero().flatten(), kspace.device)
        lines = to_image(self._mask[..., acquired, :] * kspace[..., acquired, :], (-1,)).movedim(-1, -3)  # x coil ky
        k = acquired - n_lines // 2
        lines = lines * uncentred(k, n_lines, lines.dtype)

        def of_part(part: tuple[Tensor, tuple[Tensor, Tensor]]) -> Tensor:
            lines, (_, csm_conj) = part
            kspace = lines.new_zeros(*lines.shape[:-1], n_lines)
            kspace[..., k] = lines
            return (torch.fft.ifft(kspace, norm="ortho").unsqueeze(-4) * csm_conj).sum(-2)

        return torch.cat(self._of_parts(of_part, lines.split(self._widths, dim=-3)), dim=-2).mT

    def normal(self, image: Tensor) -> Tensor:
        """AᴴA. FᴴMF is a circular convolution, which commutes with shifts: none but the mask's is needed.

        Of whole lines nothing changes along kx: columns are apart, and a transform along the last axis reads its memory
        in order. Else coils are.
        """
        if not self.has_columns:
            return sum(self._of_parts(self._normal_of_part, [image.unsqueeze(-3)] * len(self._parts)))
        columns = image.mT.contiguous().unsqueeze(-2).split(self._widths, dim=-3)
        return torch.cat(self._of_parts(self._normal_of_part, columns), dim=-2).mT

    def of_columns(self, compute: Callable[[Callable[[Tensor], Tensor], Tensor], Tensor], image: Tensor) -> Tensor:
        """Let `compute` make columns of those of `image` `(..., set, y, x)`, given AᴴA of them: of whole lines only.

        No column needs another one then. `compute` gets some of them at a time, `(..., set, x, y)`, a core's share.
        """

        def of_part(part: tuple[Tensor, tuple[Tensor, Tensor]]) -> Tensor:
            columns, maps = part
            return compute(lambda x: self._normal_of_part((x.unsqueeze(-2), maps)), columns)

        return torch.cat(self._of_parts(of_part, image.mT.contiguous().split(self._widths, dim=-2)), dim=-2).mT

    def _of_parts(self, compute: Callable[[tuple], Tensor], arrays: Sequence[Tensor]) -> list[Tensor]:
        """Compute of each array with its maps, side by side; but in turn where derivatives are recorded."""
        parts = list(zip(arrays, self._parts, strict=True))
        if torch.is_grad_enabled() and (arrays[0].requires_grad or self.csm.requires_grad):
            return [compute(part) for part in parts]
        return side_by_side(compute, parts, self._n_threads)

    def _normal_of_part(self, part: tuple[Tensor, tuple[Tensor, Tensor]]) -> Tensor:
        image, (csm, csm_conj) = part
        dims, coils = ((-1,), -2) if self.has_columns else ((-2, -1), -3)
        coil_image = csm * image
        if csm.shape[-4] > 1:
            coil_image = coil_image.sum(-4, keepdim=True)
        kspace = torch.fft.fftn(coil_image, dim=dims)
        kspace *= self._shifted_mask  # in place: fresh memory for a coil image costs more than the product
        coil_image = torch.fft.ifftn(kspace, dim=dims)
        if csm.shape[-4] > 1:
            coil_image = coil_image * csm_conj
        else:
            coil_image *= csm_conj
        return coil_image.sum(coils)

    @cached_property
    def _widths(self) -> list[int]:
        """How many columns, or coils, each part has."""
        return [csm.shape[-3] for csm, _ in self._parts]

    @cached_property
    def has_columns(self) -> bool:
        """Whether whole lines were measured: AᴴA leaves each column of the image by itself."""
        return self._mask.shape[-1] == 1

    @cached_property
    def _shifted_mask(self) -> Tensor:
        """The mask with its centre at the edge `(..., set, coil, ky, kx)`; of whole lines `(..., set, x, coil, ky)`."""
        mask = torch.fft.ifftshift(self._mask, (-2,) if self.has_columns else (-2, -1)).unsqueeze(-4)
        return mask.mT if self.has_columns else mask

    @cached_property
    def _parts(self) -> list[tuple[Tensor, Tensor]]:
        """Maps and their conjugate: some columns `(..., set, x, coil, y)` or coils `(..., set, coil, y, x)` at a time.

        A GPU takes all at once.
        """
        csm = self.csm.mT.contiguous().movedim(-2, -3) if self.has_columns else self.csm
        # torch's own broadcast_shapes loads a package for symbolic algebra at first use: 0.3 s, after the last line
        batch = np.broadcast_shapes(csm.shape[:-4], self._shifted_mask.shape[:-4])
        csm = csm.expand(*batch, *csm.shape[-4:])
        together = -(-csm.shape[-3] // count_parts(csm, self._n_threads, IN_CACHE))

        def in_memory(part: Tensor) -> tuple[Tensor, Tensor]:
            part = part.contiguous()
            return part, part.conj().resolve_conj()

        return side_by_side(in_memory, csm.split(together, dim=-3), self._n_threads)
