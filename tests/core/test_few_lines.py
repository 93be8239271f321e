"""Lines that were no part of a kernel's fit tell what it is worth, where calibration lines are few."""

import pytest
import torch

from kband_core.few_lines import held_out_misfit
from kband_core.fourier import resize
from kband_core.phantom import coil_kspace, complex_noise, head_phantom, loop_coils

KERNEL = (2, 5)
SIGMA = 0.028  # SNR 40


def acs(rng, n_lines):
    """Calibration lines of a head of 8 coils, in units of noise."""
    coils = loop_coils(8, object_phase=1.0)
    clean = coil_kspace(head_phantom(), coils, (128, 128), fov=(1.0, 1.0), oversampling=1)
    noisy = clean + complex_noise(torch.eye(8) * SIGMA**2 / 2, (128, 128), rng)
    return resize(noisy / SIGMA, [n_lines], [-2])


@pytest.mark.parametrize(("n_lines", "acceleration"), [(4, 2), (5, 3), (6, 4)])
def test_a_kernel_of_two_rows_misses_what_is_left_out(rng, n_lines, acceleration):
    """One row of windows of 124 samples fits 80 unknowns, and knows nothing of the next."""
    assert held_out_misfit(acs(rng, n_lines), acceleration, KERNEL) > 0.2


@pytest.mark.parametrize(("n_lines", "acceleration"), [(7, 2), (9, 2), (12, 3)])
def test_a_kernel_of_enough_lines_misses_little(rng, n_lines, acceleration):
    """Images have errors below 1 % there."""
    assert held_out_misfit(acs(rng, n_lines), acceleration, KERNEL) < 0.03


def test_a_single_row_tells_nothing(rng):
    """It cannot be left out."""
    with pytest.raises(ValueError, match="at least 2"):
        held_out_misfit(acs(rng, 4), 3, KERNEL)
