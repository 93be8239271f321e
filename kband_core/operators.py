"""The SENSE model of a Cartesian scan."""

from __future__ import annotations

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
        self.dims = (-2,) if mask.shape[-1] == 1 else (-2, -1)
        self.unshifted_mask = torch.fft.ifftshift(self.mask, self.dims)

    def forward(self, image: Tensor) -> Tensor:
        """A: `(..., set, y, x)` → `(..., coil, ky, kx)`, zero where nothing is acquired."""
        return self.mask * to_kspace((self.csm * image.unsqueeze(-3)).sum(-4))

    def adjoint(self, kspace: Tensor) -> Tensor:
        """Aᴴ: `(..., coil, ky, kx)` → `(..., set, y, x)`."""
        return (self.csm.conj() * to_image(self.mask * kspace).unsqueeze(-4)).sum(-3)

    def normal(self, image: Tensor) -> Tensor:
        """AᴴA. FᴴMF is a circular convolution, which commutes with shifts: none but the mask's is needed."""
        coil_image = (self.csm * image.unsqueeze(-3)).sum(-4)
        kspace = self.unshifted_mask * torch.fft.fftn(coil_image, dim=self.dims)
        return (self.csm.conj() * torch.fft.ifftn(kspace, dim=self.dims).unsqueeze(-4)).sum(-3)
