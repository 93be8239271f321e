"""What can be told of every line of k-space, measured or not, while a scan runs."""

from __future__ import annotations

import torch
from torch import Tensor

from kband_core.coils import sample_energy
from kband_core.fourier import to_kspace

FLOOR = 1e-8  # of the energy of all lines so far
N_FEATURES = 16


def line_features(kspace: Tensor, acquired: Tensor, coming: Tensor, predicted: Tensor) -> Tensor:
    """Describe each line: `(..., N_FEATURES, ky)`, about -2 to 2.

    `kspace` `(..., coil, ky, x)`, in image space along x, zero where not `acquired`, bool `(..., ky)`; `coming`: lines
    that are asked for, but have not come; `predicted`, all lines of the quick image, as `kspace`. Energies are
    logarithms of their share of all that was measured: of the line in the quick image, also by parts along kx; of
    itself, of its mirror line, and of the nearest lines on both sides, as measured, and how far those are; of the
    weakest line. Then place, and how many lines there are.
    """
    n = acquired.shape[-1]
    total = sample_energy(kspace).sum((-3, -2, -1))[..., None].clamp(min=torch.finfo(torch.float32).tiny)
    measured = _log(sample_energy(kspace).sum((-3, -1)) / total)
    guess = sample_energy(to_kspace(predicted, (-1,))).sum(-3) / total[..., None]
    width = guess.shape[-1]
    inner = guess[..., 3 * width // 8 : 5 * width // 8].sum(-1)
    outer = guess[..., : width // 4].sum(-1), guess[..., 3 * width // 4 :].sum(-1)
    here = acquired.to(measured.dtype)
    mirror = (2 * (n // 2) - torch.arange(n, device=acquired.device)).clamp(0, n - 1)
    before, after = _nearest(acquired), _nearest(acquired.flip(-1)).flip(-1)
    after = (n - 1 - after).where(after >= 0, n)
    line = torch.arange(n, device=acquired.device)
    gap = [torch.log2(1.0 + distance.clamp(0, 32)) for distance in (line - before, after - line)]
    sides = [measured.gather(-1, at.clamp(0, n - 1)) for at in (before, after)]
    weakest = measured.masked_fill(~acquired, 1.0).amin(-1, keepdim=True)
    place = (line - n // 2) / (n / 2)
    rows = [
        _log(guess.sum(-1)), _log(inner), _log(outer[0]), _log(outer[1]),
        measured * here, here, coming.to(here.dtype),
        (measured * here)[..., mirror], here[..., mirror],
        sides[0], sides[1], gap[0] - 1, gap[1] - 1, weakest.expand_as(here),
        (2 * place.abs() - 1).expand_as(here), (4 * here.mean(-1, keepdim=True) - 1).expand_as(here),
    ]  # fmt: skip
    return torch.stack(rows, -2)


def _log(share: Tensor) -> Tensor:
    """Bring shares of energy, from 1 down to the floor, to 2 and -2."""
    return torch.log10(share.clamp(min=FLOOR)) / 2 + 2


def _nearest(acquired: Tensor) -> Tensor:
    """The last acquired line up to each; -1 before the first."""
    line = torch.arange(acquired.shape[-1], device=acquired.device).expand(acquired.shape)
    return torch.where(acquired, line, -1).cummax(-1).values
