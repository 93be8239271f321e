"""GRAPPA: exact where the physics is linear, faithful to what was measured, and clear about what it cannot do."""

import math

import pytest
import torch

from kband_core.fourier import to_kspace
from kband_core.grappa import apply_grappa, calibrate_grappa, kernel_misfit
from kband_core.patterns import equispaced_lines
from kband_core.phantom import coil_kspace, head_phantom, loop_coils
from kband_core.sampling import Grid
from tests.laws import nmse


def harmonic_coils(n_coils, shape, rng):
    """K-space of coils e^{2πi c y/N}: coil c sees the object's k-space shifted by c lines."""
    image = torch.randn(shape, dtype=torch.complex64, generator=rng)
    y = (torch.arange(shape[0]) - shape[0] // 2) / shape[0]
    angle = 2 * math.pi * torch.arange(n_coils)[:, None, None] * y[:, None]
    return to_kspace(image * torch.polar(torch.ones_like(angle), angle))


def head_slices(shape=(64, 48), n_coils=8):
    coils = loop_coils(n_coils)
    return torch.stack([coil_kspace(head_phantom(z), coils, shape, oversampling=1) for z in (0.0, 0.3)])


@pytest.mark.parametrize(("n_lines", "acceleration", "offset"), [(31, 2, 0), (33, 2, 1), (31, 3, 0), (34, 4, 1)])
@pytest.mark.parametrize("source_lines", [2, 3, 4])
def test_harmonic_coils_are_filled_exactly(n_lines, acceleration, offset, source_lines, rng):
    """R harmonic coils hold every line between two acquired ones (SMASH): only single precision is lost."""
    kspace = harmonic_coils(acceleration, (n_lines, 12), rng)
    sampling = equispaced_lines(n_lines, acceleration, offset=offset)
    grid = sampling.lines().nonzero().flatten()
    kernel = calibrate_grappa(kspace, acceleration, kernel=(source_lines, 3), regularisation=1e-7)
    filled = apply_grappa(kernel, kspace * sampling.mask, sampling)
    between = slice(int(grid[0]), int(grid[-1]) + 1)
    assert nmse(filled[:, between], kspace[:, between]) < 1e-8


@pytest.mark.parametrize(("acceleration", "tolerance"), [(2, 1e-3), (3, 4e-3)])
def test_head_is_reconstructed_from_every_rth_line(acceleration, tolerance):
    """Eight loops tell two or three folded pixels apart; what is left is the kernel's finite size."""
    kspace = head_slices()
    sampling = equispaced_lines(64, acceleration, acs_lines=24)
    filled = apply_grappa(calibrate_grappa(kspace[..., 20:44, :], acceleration), kspace * sampling.mask, sampling)
    assert nmse(filled, kspace) < tolerance
    assert nmse(filled, kspace) < nmse(kspace * sampling.mask, kspace) / 10


def test_measured_lines_are_kept(rng):
    """Reconstruction may not alter data: grid and calibration lines come back bit by bit."""
    kspace = torch.randn(3, 40, 9, dtype=torch.complex64, generator=rng)
    sampling = equispaced_lines(40, 3, offset=2, acs_lines=14)
    filled = apply_grappa(calibrate_grappa(kspace[:, 13:27], 3), kspace * sampling.mask, sampling)
    lines = sampling.lines()
    assert torch.equal(filled[:, lines], kspace[:, lines])
    assert (filled[:, ~lines] != 0).all()


def test_partial_fourier_stays_partial(rng):
    """Beyond one gap outside the acquired lines there is no source: those lines stay empty."""
    kspace = torch.randn(3, 40, 9, dtype=torch.complex64, generator=rng)
    sampling = equispaced_lines(40, 4).within(torch.arange(40)[:, None] >= 10)
    filled = apply_grappa(calibrate_grappa(kspace[:, 13:27], 4), kspace * sampling.mask, sampling)
    filled_lines = filled.abs().sum((0, 2)) > 0
    assert filled_lines.nonzero().flatten().tolist() == list(range(12 - 3, 40))


def test_full_sampling_changes_nothing(rng):
    """R = 1 has no gaps."""
    kspace = torch.randn(3, 8, 6, dtype=torch.complex64, generator=rng)
    assert torch.equal(apply_grappa(calibrate_grappa(kspace, 1), kspace, equispaced_lines(8, 1)), kspace)


def test_slices_do_not_mix():
    """A batch of two slices equals each slice alone, and one kernel serves a batch (rounding only)."""
    kspace = head_slices()
    sampling = equispaced_lines(64, 2)
    both = calibrate_grappa(kspace[..., 20:44, :], 2)
    together = apply_grappa(both, kspace * sampling.mask, sampling)
    first = calibrate_grappa(kspace[0, :, 20:44], 2)
    alone = apply_grappa(first, kspace[0] * sampling.mask, sampling)
    shared = apply_grappa(first, kspace * sampling.mask, sampling)
    assert nmse(together[0], alone) < 1e-8
    assert nmse(shared[0], alone) < 1e-8
    assert shared.shape == together.shape


def test_scale_does_not_matter():
    """Regularisation is relative: a receiver gain of 2⁻²⁰ gives the same weights; a power of two does not round."""
    acs = head_slices()[..., 20:44, :]
    assert nmse(calibrate_grappa(acs * 2**-20, 3).weights, calibrate_grappa(acs, 3).weights) < 1e-10


def test_broken_grid_is_refused(rng):
    """A line that the scanner lost must not be replaced by a guess at another acceleration."""
    kspace = torch.randn(3, 40, 9, dtype=torch.complex64, generator=rng)
    mask = equispaced_lines(40, 3, offset=1).mask.clone()
    mask[37] = False
    mask[39] = True
    with pytest.raises(ValueError, match="line 37 of the R=3 grid is missing"):
        apply_grappa(calibrate_grappa(kspace, 3), kspace, Grid(mask))
    with pytest.raises(ValueError, match="none of the 40 lines is acquired"):
        apply_grappa(calibrate_grappa(kspace, 3), kspace, Grid(torch.zeros(40, 1, dtype=torch.bool)))


def test_impossible_input_is_refused(rng):
    """Each refusal names the number that is wrong."""
    kspace = torch.randn(3, 20, 9, dtype=torch.complex64, generator=rng)
    sampling = equispaced_lines(20, 3)
    with pytest.raises(ValueError, match="9 calibration lines of 9 samples, 10 of 5 needed for R=3"):
        calibrate_grappa(kspace[:, :9], 3, kernel=(4, 5))
    with pytest.raises(ValueError, match="at least R=1"):
        calibrate_grappa(kspace, 0)
    with pytest.raises(ValueError, match="1 of 1 slice has a singular"):
        calibrate_grappa(torch.zeros_like(kspace), 2)
    broken = kspace.clone()
    broken[0, 0, 0] = math.nan
    with pytest.raises(ValueError, match="1 of 540 samples are not finite"):
        calibrate_grappa(broken, 2)
    with pytest.raises(ValueError, match="the kernel has 3 coils, but kspace has 2"):
        apply_grappa(calibrate_grappa(kspace, 3), kspace[:2], sampling)
    with pytest.raises(ValueError, match="sampling has 19 along ky"):
        apply_grappa(calibrate_grappa(kspace, 3), kspace, sampling[:19])


@pytest.mark.parametrize("centre_is_measured", [True, False])
def test_windows_weigh_as_the_lines_that_are_to_be_filled(centre_is_measured, rng):
    """Equal where the kernel fills the centre, balanced where it fills outer lines: each wins by half of the error."""
    kspace = head_slices()[0]
    noise = 0.02 * torch.randn(2, *kspace.shape, dtype=kspace.dtype, generator=rng)
    acs, kspace = kspace[..., 20:44, :] + noise[0, :, 20:44], kspace + noise[1]
    sampling = equispaced_lines(64, 4, acs_lines=24 if centre_is_measured else 0)
    kernels = {windows: calibrate_grappa(acs, 4, windows=windows) for windows in ("equal", "balanced")}
    errors = {
        windows: nmse(apply_grappa(kernel, kspace * sampling.mask, sampling), kspace)
        for windows, kernel in kernels.items()
    }
    better, worse = ("balanced", "equal") if centre_is_measured else ("equal", "balanced")
    assert errors[better] < 0.75 * errors[worse]


@pytest.mark.parametrize(
    ("n_coils", "acceleration", "least", "most"), [(8, 2, 0, 0.003), (8, 4, 0.02, 0.3), (4, 4, 0.3, 0.7)]
)
def test_a_kernel_tells_what_it_misses(n_coils, acceleration, least, most, rng):
    """Hardly anything where coils suffice, half of the energy where they do not; noise does not count."""
    clean = coil_kspace(head_phantom(), loop_coils(n_coils), (96, 80), oversampling=1)[:, 36:60]
    for sigma in (0.01, 0.03):
        acs = clean / sigma + torch.randn(clean.shape, dtype=clean.dtype, generator=rng)
        assert least <= kernel_misfit(calibrate_grappa(acs, acceleration), acs) < most
