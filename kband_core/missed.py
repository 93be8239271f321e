"""What an image misses of the samples that were acquired: where, and how much."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from kband_core.coils import coil_images, compress, sample_energy
from kband_core.fourier import to_image, to_kspace, uncentred
from kband_core.threads import side_by_side

FEW = 6  # combinations of coils, whose energy tells that of all


def missed_energy(image: Tensor, csm: Tensor, kspace: Tensor, mask: Tensor) -> Tensor:
    """Return the energy `(..., y, x)` over coils of Fᴴ(y − MF·S·x), of what image x leaves of the k-space y.

    `image` `(..., set, y, x)`, maps `csm` `(..., set, coil, y, x)`, `kspace` `(..., coil, ky, kx)`, of which what lies
    beyond the `mask`, `(..., ky, kx)` or `(..., ky, 1)`, does not count. Of more than six coils six combinations are
    looked at, drawn once, orthogonal: they hold the energy of all on average, whatever it is of, and in 7 × 7 pixels
    tell it to within a tenth, and noise as well.
    """
    few = few_combinations(csm.shape[-3]).to(csm.device)
    if mask.shape[-1] > 1:
        explained = to_kspace(coil_images(image, compress(csm, few)))
        return sample_energy(to_image(mask.unsqueeze(-3) * (compress(kspace, few) - explained))).sum(-3)
    batch = image.shape[:-3]
    planes = [part.expand(*batch, *part.shape[-n:]).reshape(-1, *part.shape[-n:]).unbind()
              for part, n in ((image, 3), (csm, 4), (kspace, 3), (mask, 2))]  # fmt: skip
    missed = [_of_lines(*plane, few) for plane in zip(*planes, strict=True)]
    return torch.stack(missed).view(*batch, *image.shape[-2:])


def _of_lines(image: Tensor, csm: Tensor, kspace: Tensor, mask: Tensor, few: Tensor) -> Tensor:
    """The same of a plane of whole lines. Nothing changes along kx: a factor for each column is left out."""
    rows, (n_rows, n_columns) = mask[:, 0].nonzero().flatten(), image.shape[-2:]
    column, from_centre = torch.arange(n_columns, device=rows.device), rows - n_rows // 2
    measured = compress(kspace, few)[:, rows]
    measured *= torch.outer(uncentred(from_centre, n_rows, few.dtype), uncentred(column, n_columns, few.dtype))
    measured = torch.fft.ifft(measured, norm="ortho")
    image = image * uncentred(column - n_columns // 2, n_columns, few.dtype).conj()
    maps = compress(csm, few)

    def of_combination(number: int) -> Tensor:
        spectrum = torch.fft.fft((image * maps[:, number]).sum(0), dim=-2, norm="ortho")
        found = measured[number] - spectrum[from_centre]
        spectrum.zero_()[from_centre] = found
        return sample_energy(torch.fft.ifft(spectrum, dim=-2, norm="ortho"))

    return sum(side_by_side(of_combination, range(len(few)), torch.get_num_threads()))


@lru_cache(maxsize=64)
def few_combinations(n_coils: int) -> Tensor:
    """Combinations of coils `(combination, coil)`; of six coils or fewer, all of them."""
    if n_coils <= FEW:
        return torch.eye(n_coils, dtype=torch.complex64)
    drawn = torch.randn(n_coils, FEW, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    return torch.linalg.qr(drawn)[0].mH.contiguous() * (n_coils / FEW) ** 0.5
