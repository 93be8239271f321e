"""The SENSE model of a Cartesian scan."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from kband_core.axes import check_axes
from kband_core.fourier import to_image, to_kspace


class Sense:
    """A = M·F·S: image sets `(..., set, y, x)` → acquired k-space `(..., coil, ky, kx)`.

    `csm` `(..., set, coil, y, x)`: one or more sets of coil sensitivity maps (soft SENSE, Uecker 2014). `mask`
    `(..., ky, kx)` bool, or `(..., ky, 1)` where whole lines are acquired: then AᴴA needs no transform along kx.
    """

    def __init__(self, csm: Tensor, mask: Tensor) -> None:
        wanted = "... ky kx" if mask.shape[-1] > 1 else "... ky line"
        check_axes(csm=(csm, "... set coil ky kx"), mask=(mask, wanted))
        self.csm = csm
        self.mask = mask.unsqueeze(-3)  # the same for every coil

    def forward(self, image: Tensor) -> Tensor:
        """A: `(..., set, y, x)` → `(..., coil, ky, kx)`, zero where nothing is acquired."""
        return self.mask * to_kspace((self.csm * image.unsqueeze(-3)).sum(-4))

    def adjoint(self, kspace: Tensor) -> Tensor:
        """Aᴴ: `(..., coil, ky, kx)` → `(..., set, y, x)`."""
        return (self.csm.conj() * to_image(self.mask * kspace).unsqueeze(-4)).sum(-3)

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
        lines = self.mask.shape[-1] == 1
        mask = torch.fft.ifftshift(self.mask, (-2,) if lines else (-2, -1)).unsqueeze(-4)
        csm, csm_conj = self.csm, self.csm.conj().resolve_conj()
        if lines:  # a transform along the last axis reads its memory in order
            csm, csm_conj, mask = csm.mT.contiguous(), csm_conj.mT.contiguous(), mask.mT
        batch = torch.broadcast_shapes(csm.shape[:-4], mask.shape[:-4])
        csm = csm.expand(*batch, *csm.shape[-4:])
        return lines, (-1,) if lines else (-2, -1), csm, csm_conj, mask
