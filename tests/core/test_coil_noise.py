"""How noise is correlated between coils, told from calibration lines, and coils made white by it."""

import pytest
import torch

from kband_core import coil_noise
from kband_core.coil_noise import calibration_noise, calibration_whitening
from kband_core.fourier import resize
from kband_core.phantom import coil_kspace, complex_noise, head_phantom, loop_coils


def unequal(n_coils, rng, spread=0.7):
    """A covariance as of a real array: gains that differ by up to e^2·spread, and some coupling."""
    mixing = torch.randn(n_coils, n_coils, dtype=torch.complex128, generator=rng) / (2 * n_coils**0.5)
    gains = torch.exp(spread * (2 * torch.rand(n_coils, dtype=torch.float64, generator=rng) - 1))
    mixing = mixing + torch.diag(gains).to(mixing.dtype)
    return mixing @ mixing.mH


def calibration(covariance, sigma, rng, n_lines=24):
    """Calibration lines of a head with noise of that covariance, its mean power sigma²; and that covariance."""
    covariance = sigma**2 * covariance / covariance.diagonal().real.mean()
    clean = coil_kspace(head_phantom(), loop_coils(len(covariance)), (96, 80), oversampling=1)
    lines = clean + complex_noise(covariance / 2, (96, 80), rng)
    return resize(lines, [n_lines], dims=[-2])[None].to(torch.complex64), covariance


def spread_after(matrix, covariance):
    """Noise power of the loudest combination of coils over that of the quietest, after `matrix`."""
    matrix = matrix.to(covariance.dtype)
    least, *_, most = torch.linalg.eigvalsh(matrix @ covariance @ matrix.mH).tolist()
    return most / least


@pytest.mark.parametrize("n_coils", [2, 6, 12, 16])
@pytest.mark.parametrize("sigma", [0.01, 0.05])
def test_noise_of_unequal_coils_is_found_below_the_signal(rng, n_coils, sigma):
    """Every calibration line holds signal, far above the noise in most samples."""
    acs, truth = calibration(unequal(n_coils, rng), sigma, rng)
    found = calibration_noise(acs)
    assert spread_after(torch.eye(n_coils), truth) > 3
    assert spread_after(torch.linalg.inv(torch.linalg.cholesky(found)), truth) < 1.9
    assert float(found.diagonal().real.mean() / truth.diagonal().real.mean()) == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize("louder", [3, 10, 100])
@pytest.mark.parametrize("coil", [0, 3])
def test_a_loud_coil_is_not_taken_for_signal(rng, coil, louder):
    """Its noise is stronger than the others' signal in most of k-space."""
    covariance = torch.eye(8, dtype=torch.complex128)
    covariance[coil, coil] = louder**2
    acs, truth = calibration(covariance, 0.03 * louder / 2.8, rng)
    assert spread_after(calibration_whitening(acs), truth) < 1.9


@pytest.mark.parametrize("sigma", [0.02, 0.1, 1.0])
def test_correlated_noise_is_found(rng, sigma):
    """Neighbours in a ring share half of their noise; at the largest the brain is as bright as it."""
    coil = torch.arange(8)
    apart = (coil[:, None] - coil).abs()
    acs, truth = calibration((0.5 ** torch.minimum(apart, 8 - apart)).to(torch.complex128), sigma, rng)
    assert spread_after(torch.eye(8), truth) == pytest.approx(9, rel=0.01)
    assert spread_after(calibration_whitening(acs), truth) < 1.9


def test_the_estimate_goes_with_the_coils(rng):
    """However coils are amplified and mixed, their whitened noise is the same: Σ becomes M Σ Mᴴ."""
    acs, _ = calibration(unequal(4, rng), 0.03, rng)
    mixing = torch.randn(4, 4, dtype=torch.complex128, generator=rng) + torch.diag(torch.tensor([1.0, 3, 10, 30]))
    mixed = torch.einsum("vc,zcyx->zvyx", mixing, acs.to(torch.complex128))
    expected = mixing @ calibration_noise(acs) @ mixing.mH
    assert float((calibration_noise(mixed) - expected).norm() / expected.norm()) < 1e-3


@pytest.mark.parametrize("spread", [0.7, 0.0])
def test_noise_is_one_after_whitening(rng, spread):
    """Whatever judges a residual may count on it, where noise was white before, too."""
    acs, truth = calibration(unequal(8, rng, spread), 0.03, rng)
    matrix = calibration_whitening(acs).to(truth.dtype)
    assert float((matrix @ truth @ matrix.mH).diagonal().real.mean()) == pytest.approx(1, abs=0.15)


def is_scaled_identity(matrix):
    return torch.equal(matrix, matrix[0, 0] * torch.eye(len(matrix), dtype=matrix.dtype))


@pytest.mark.parametrize("n_coils", [2, 6, 12])
@pytest.mark.parametrize("sigma", [0.01, 0.05])
def test_white_noise_is_only_scaled(rng, n_coils, sigma):
    """What a noise scan has whitened is better known than what signal can be told from."""
    acs, _ = calibration(torch.eye(n_coils, dtype=torch.complex128), sigma, rng)
    assert is_scaled_identity(calibration_whitening(acs))


@pytest.mark.parametrize("white", [True, False])
def test_white_noise_needs_one_look(rng, monkeypatch, white):
    """Rounds take time just before a scan's first lines are needed, and most scans come with a noise scan."""
    covariance = torch.eye(8, dtype=torch.complex128) if white else unequal(8, rng)
    acs, _ = calibration(covariance, 0.02, rng)
    in_many = calibration_noise(acs)
    monkeypatch.setattr(coil_noise, "ROUNDS", 1)
    assert torch.equal(calibration_noise(acs), in_many) is white


def test_no_noise_is_left_alone(rng):
    """Rounding errors of a simulation, which are far stronger than this noise, have a covariance, too."""
    acs, _ = calibration(torch.eye(6, dtype=torch.complex128), 1e-9, rng)
    matrix = calibration_whitening(acs)
    assert is_scaled_identity(matrix)
    assert float(matrix[0, 0].real * acs.abs().max()) == pytest.approx(1 / coil_noise.ROUNDING, rel=1e-3)


def test_a_dead_coil_does_not_explode(rng):
    """It has neither signal nor noise; what rounding leaves in it must not be amplified to an image's size."""
    acs, truth = calibration(unequal(6, rng), 0.03, rng)
    acs[:, 2] = 0
    matrix = calibration_whitening(acs)
    assert matrix.isfinite().all()
    assert float(matrix[2].abs().max()) == pytest.approx(float(truth.diagonal().real.mean().rsqrt()), rel=0.5)
    alive = [0, 1, 3, 4, 5]
    assert spread_after(matrix[alive][:, alive], truth[alive][:, alive]) < 2.2


def test_many_coils_are_told_in_groups(rng):
    """Windows of 40 coils would take seconds; a loud one is found all the same."""
    covariance = torch.eye(40, dtype=torch.complex128)
    covariance[7, 7] = 100
    acs, truth = calibration(covariance, 0.05, rng)
    assert spread_after(calibration_whitening(acs), truth) < 3


def test_too_many_coils_for_their_lines_are_refused(rng):
    """Signal fills windows of 2 × 2 samples of 32 coils: what seems noise there is not."""
    acs, _ = calibration(unequal(32, rng), 0.01, rng, n_lines=6)
    with pytest.raises(ValueError, match=r"noise of 32 coils cannot be told from 6 calibration lines of 80 samples"):
        calibration_noise(acs)
    assert is_scaled_identity(calibration_whitening(acs))


@pytest.mark.parametrize("n_coils", [1, 2])
def test_a_single_coil_is_white(rng, n_coils):
    """There is nothing to compare it with; nor where the other one is dead."""
    acs, _ = calibration(torch.eye(n_coils, dtype=torch.complex128), 0.03, rng)
    acs[:, 1:] = 0
    assert is_scaled_identity(calibration_whitening(acs))


@pytest.mark.parametrize("shape", [(1, 80), (24, 1), (4, 6)])
def test_a_few_samples_tell_nothing(rng, shape):
    """Fewer lines than a window is wide."""
    acs = torch.randn(1, 4, *shape, dtype=torch.complex64, generator=rng)
    assert is_scaled_identity(calibration_whitening(acs))


def test_partitions_tell_together(rng):
    """All z of a slice were received by the same coils."""
    covariance = unequal(6, rng)
    acs, truth = calibration(covariance, 0.03, rng)
    more = torch.cat([acs, calibration(covariance, 0.03, rng)[0]])
    assert spread_after(calibration_whitening(more), truth) < 1.9


def test_calibration_lines_of_other_axes_are_refused(rng):
    """Without the axis z lines were taken for coils, and what came back, unsaid, was a matrix that whitens nothing."""
    acs = torch.randn(4, 24, 32, dtype=torch.complex64, generator=rng)
    with pytest.raises(ValueError, match=r"acs has shape \(4, 24, 32\), but its axes are 'z coil ky kx'"):
        calibration_whitening(acs)
