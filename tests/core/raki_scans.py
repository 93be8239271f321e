"""Scans that networks of k-space interpolation are fitted to, and what every fit refuses."""

import pytest
import torch

from kband_core.phantom import coil_kspace, head_phantom, loop_coils


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def gaussian(rng, *shape):
    return torch.randn(*shape, dtype=torch.complex64, generator=rng)


def two_slices():
    """Two slices of a head, 8 coils, 64 × 48."""
    coils = loop_coils(8)
    return torch.stack([coil_kspace(head_phantom(z), coils, (64, 48), oversampling=1) for z in (0.0, 0.3)])


def check_refusals(fit, span, rng):
    """Too few lines for a kernel of `span`, too few samples, no acceleration, and numbers that are none."""
    with pytest.raises(ValueError, match=f"{span - 1} calibration lines of 12 samples, {span} of . needed for R=3"):
        fit(gaussian(rng, 3, span - 1, 12), 3, rng=rng)
    with pytest.raises(ValueError, match="8 calibration lines of 6 samples"):
        fit(gaussian(rng, 3, 8, 6), 3, rng=rng)
    with pytest.raises(ValueError, match="24 calibration lines"):
        fit(gaussian(rng, 3, 24, 12), 30, rng=rng)
    with pytest.raises(ValueError, match="R=1"):
        fit(gaussian(rng, 3, 24, 12), 1, rng=rng)
    broken = gaussian(rng, 3, 24, 12)
    broken[0, 0, 0] = torch.inf
    with pytest.raises(ValueError, match="1 of 864 samples are not finite"):
        fit(broken, 3, rng=rng)
