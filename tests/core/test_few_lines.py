"""Measured lines that a kernel makes again tell what it is worth beyond the calibration lines that taught it."""

import pytest
import torch

from kband_core.few_lines import outer_misfit
from kband_core.fourier import resize
from kband_core.grappa import calibrate_grappa
from kband_core.phantom import coil_kspace, complex_noise, head_phantom, loop_coils

SIGMA = 0.028  # SNR 40


def head(rng, sigma=SIGMA):
    """K-space of a head of 8 coils, in units of noise."""
    coils = loop_coils(8, object_phase=1.0)
    clean = coil_kspace(head_phantom(), coils, (128, 128), fov=(1.0, 1.0), oversampling=1)
    return (clean + complex_noise(torch.eye(8) * sigma**2 / 2, (128, 128), rng)) / sigma


def misfit(kspace, acceleration, n_lines):
    kernel = calibrate_grappa(resize(kspace, [n_lines], [-2]), acceleration)
    first, last = 64 % acceleration, 64 + (63 // acceleration) * acceleration
    return outer_misfit(kernel, kspace, first, last, slice(64 - n_lines // 2, 64 - n_lines // 2 + n_lines))


@pytest.mark.parametrize(("n_lines", "acceleration"), [(4, 2), (7, 3), (9, 4)])
def test_a_kernel_of_too_few_lines_does_not_find_the_others(rng, n_lines, acceleration):
    """Images have errors of 2 to 9 % there, with 24 lines of 0.2 to 0.9 %."""
    assert misfit(head(rng), acceleration, n_lines) > 0.15


@pytest.mark.parametrize(("n_lines", "acceleration"), [(8, 2), (24, 3), (24, 4)])
def test_a_kernel_of_enough_lines_finds_them(rng, n_lines, acceleration):
    """Images have errors below 1 %."""
    assert misfit(head(rng), acceleration, n_lines) < 0.06


def test_noise_is_no_misfit(rng):
    """At an SNR of 2 nothing is seen of outer lines but noise."""
    assert misfit(head(rng, 20 * SIGMA), 3, 9) < 0.06


def test_no_line_beyond_tells_nothing(rng):
    """Where all rows calibrate, none is left to ask."""
    with pytest.raises(ValueError, match="none of"):
        misfit(head(rng), 3, 128)
