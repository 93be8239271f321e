"""A head with white noise, as coils receive it."""

import torch

from kband_core.phantom import coil_kspace, complex_noise, head_phantom, loop_coils

SIGMA = 0.03


def scan(n_coils, sigma, rng):
    """K-space `(n_coils, 96, 80)` with complex noise of SD `sigma`."""
    clean = coil_kspace(head_phantom(), loop_coils(n_coils), (96, 80), oversampling=1)
    return clean + complex_noise(sigma**2 / 2 * torch.eye(n_coils), (96, 80), rng)
