"""The encoding model A of a scan: what its coils measure of an image."""

from __future__ import annotations

from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from kband_core.axes import check_axes
from kband_core.coils import coil_images, combine
from kband_core.fourier import to_image, to_kspace
from kband_core.sampling import Grid, Trajectory


class EncodingOperator(Protocol):
    """A: image sets `(..., set, y, x)` → what each coil measures, with coil sensitivity maps `csm`."""

    csm: Tensor

    def forward(self, image: Tensor) -> Tensor:
        """A."""

    def adjoint(self, kspace: Tensor) -> Tensor:
        """Aᴴ."""

    def normal(self, image: Tensor) -> Tensor:
        """AᴴA."""


def encoding_operator(sampling: Grid | Trajectory, csm: Tensor) -> EncodingOperator:
    """Return the operator of a scan: `csm` `(..., set, coil, y, x)`, one or more sets of coil sensitivity maps.

    With two sets it is that of soft SENSE (Uecker 2014). Raises `ValueError` if sampling and maps do not fit, or for a
    trajectory.
    """
    if isinstance(sampling, Trajectory):
        raise ValueError("Trajectory: no operator yet; only a grid can be encoded")
    return GridOperator(sampling, csm)


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

    def forward(self, image: Tensor) -> Tensor:
        """A: `(..., set, y, x)` → `(..., coil, ky, kx)`."""
        return self._mask * predicted_kspace(image, self.csm)

    def adjoint(self, kspace: Tensor) -> Tensor:
        """Aᴴ: `(..., coil, ky, kx)` → `(..., set, y, x)`."""
        return combine(to_image(self._mask * kspace), self.csm)

    def normal(self, image: Tensor) -> Tensor:
        """AᴴA. FᴴMF is a circular convolution, which commutes with shifts: none but the mask's is needed."""
        lines, dims, csm, csm_conj, mask = self._for_normal
        if lines:
            image = image.mT.contiguous()
        coil_image = csm * image.unsqueeze(-3)
        if csm.shape[-4] > 1:
            coil_image = coil_image.sum(-4, keepdim=True)
        kspace = torch.fft.fftn(coil_image, dim=dims)
        kspace *= mask  # in place: fresh memory for a coil image costs more than the product
        coil_image = torch.fft.ifftn(kspace, dim=dims)
        if csm.shape[-4] > 1:
            coil_image = coil_image * csm_conj
        else:
            coil_image *= csm_conj
        image = coil_image.sum(-3)
        return image.mT if lines else image

    @cached_property
    def _for_normal(self) -> tuple[bool, tuple[int, ...], Tensor, Tensor, Tensor]:
        """Whether lines lie along the last axis, axes to transform, maps, their conjugate, shifted mask (set, coil)."""
        lines = self._mask.shape[-1] == 1
        mask = torch.fft.ifftshift(self._mask, (-2,) if lines else (-2, -1)).unsqueeze(-4)
        csm, csm_conj = self.csm, self.csm.conj().resolve_conj()
        if lines:  # a transform along the last axis reads its memory in order
            csm, csm_conj, mask = csm.mT.contiguous(), csm_conj.mT.contiguous(), mask.mT
        # torch's own broadcast_shapes loads a package for symbolic algebra at first use: 0.3 s, after the last line
        batch = np.broadcast_shapes(csm.shape[:-4], mask.shape[:-4])
        csm = csm.expand(*batch, *csm.shape[-4:])
        return lines, (-1,) if lines else (-2, -1), csm, csm_conj, mask
