"""Exact data consistency where whole lines are acquired: each column along the readout is a small system of its own."""

from __future__ import annotations

import torch
from torch import Tensor

from kband_core.axes import check_axes


class DecoupledSense:
    """(AᴴA + λ)⁻¹ for a mask of whole lines, for any λ: one eigendecomposition, then two matrix products a solve.

    After the inverse transform along the readout, column x of the image obeys K_x = Σ_c S_cᴴ F₁ᴴ M F₁ S_c alone, a
    matrix of (set·ky)². `csm` `(..., set, coil, y, x)`, `mask` `(..., ky, 1)`. The eigenvectors take 8·x·(set·ky)²
    bytes: 134 MB for 256 × 256; `chunk` columns at a time bound what is needed beside them.

    Where maps and mask are known before the last line, all but the two products can be done while lines still come.
    Raises `ValueError` for a mask of single samples, which couples the columns.
    """

    def __init__(self, csm: Tensor, mask: Tensor, *, chunk: int = 32) -> None:
        if mask.shape[-1] != 1:
            raise ValueError(
                f"decoupled SENSE: the mask has {mask.shape[-1]} samples a line, a mask of whole lines (..., ky, 1) "
                "needed; use conjugate gradient"
            )
        lengths = check_axes(csm=(csm, "... set coil ky kx"), mask=(mask, "... ky line"))
        self.shape = (lengths["set"], lengths["ky"])
        transfer = torch.fft.ifftshift(mask.squeeze(-1).to(csm.real.dtype), -1)
        row = torch.arange(lengths["ky"], device=csm.device)
        # F₁ᴴ M F₁ is a circular convolution along y, the same for every pair of sets and every column
        convolution = torch.fft.ifft(transfer)[..., (row[:, None] - row) % lengths["ky"]]
        convolution = convolution.repeat(*[1] * (convolution.ndim - 2), lengths["set"], lengths["set"]).unsqueeze(-3)
        maps = csm.movedim((-1, -3), (-4, -3)).flatten(-2)  # (..., x, coil, set·y)
        parts = [torch.linalg.eigh((part.mH @ part) * convolution) for part in maps.split(chunk, dim=-3)]
        self.values = torch.cat([values for values, _ in parts], -2).clamp(min=0)
        self.vectors = torch.cat([vectors for _, vectors in parts], -3)

    def solve(self, b: Tensor, weight: Tensor) -> Tensor:
        """(AᴴA + λ)⁻¹ b; `b` `(..., set, y, x)`, `weight` λ `(..., 1, 1, 1)`. Differentiable in both."""
        columns = b.movedim(-1, -3).flatten(-2).unsqueeze(-1)  # (..., x, set·y, 1)
        columns = self.vectors @ ((self.vectors.mH @ columns) / (self.values + weight.squeeze(-1)).unsqueeze(-1))
        return columns.squeeze(-1).unflatten(-1, self.shape).movedim(-3, -1)
