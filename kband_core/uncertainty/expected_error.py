"""The expected error of each pixel of a network's image, and what it makes of the NMSE of the whole image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kband_core.reconstruct import Given
from kband_core.uncertainty.evidence import evidence
from kband_core.uncertainty.head import Head
from kband_core.uncertainty.reliability import Reliability


@torch.no_grad()
def expected_error(image: Tensor, given: Given, head: Head, table: Reliability) -> Tensor:
    """Return σ `(b, y, x)`, the expected | |x| − |r| | of each pixel of image sets `(b, set, y, x)`, in their unit.

    r is what all samples, with their noise, would show through the same coil maps. σ is corrected by the `table`, and
    zero where there are no maps: nothing is shown there. `given` is what the image was made of.
    """
    scale = given.scale[:, None, None]
    said = head(evidence(image / scale.unsqueeze(1), given.kspace, given.operator, given.noise))
    return scale * table.calibrated(said) * (given.operator.csm != 0).any(-3).any(-3)


def predicted_nmse(sigma: Tensor, image: Tensor) -> Tensor:
    """Return Σσ² / Σ|x|² `(...)` of σ and an image `(..., y, x)`: the NMSE, but for a factor that `Bound` knows."""
    return sigma.square().sum((-2, -1)) / image.abs().square().sum((-2, -1))


@dataclass(frozen=True)
class Bound:
    """Up to what multiple of the predicted NMSE the true one came in the share `level` of `n_scans` held-out scans."""

    level: float
    factor: float
    n_scans: int
