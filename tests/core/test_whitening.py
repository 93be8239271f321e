"""Noise whitening."""

import pytest
import torch

from kband_core.whitening import (
    is_steady,
    noise_covariance,
    silent_coils,
    whiten,
    whitening_matrix,
    whitening_of_others,
)


def correlated(mixing: torch.Tensor, n_samples: int, rng: torch.Generator) -> torch.Tensor:
    """Noise of the coils `mixing`·white, with SD 1 per component before mixing."""
    white = 2**0.5 * torch.randn(mixing.shape[1], n_samples, dtype=torch.complex64, generator=rng)
    return mixing @ white


def mixed_coils(n_coils: int, rng: torch.Generator) -> torch.Tensor:
    return torch.randn(n_coils, n_coils, dtype=torch.complex64, generator=rng) + 2 * torch.eye(n_coils)


def test_covariance_of_two_samples():
    """XXᴴ/(N−1) by hand, without removing the mean."""
    noise = torch.tensor([[1, 1], [1j, 3]], dtype=torch.complex64)
    expected = torch.tensor([[2, 3 - 1j], [3 + 1j, 10]], dtype=torch.complex128)
    assert torch.equal(noise_covariance(noise), expected)


@pytest.mark.parametrize("size", [1.0, 1e-9])
def test_whitened_noise_has_unit_sd_per_component(size, rng):
    """s = √2 gives SD 1 for real and imaginary part in every coil, uncorrelated (20,000 samples: ±3 %).

    Raw values of 1e-9, as one vendor's, whiten as well as those of 1.
    """
    noise = size * correlated(mixed_coils(4, rng), 20_000, rng)
    white = whiten(noise, whitening_matrix(noise_covariance(noise), 2**0.5), dim=-2)
    parts = torch.cat([white.real, white.imag])
    torch.testing.assert_close(torch.cov(parts), torch.eye(8), atol=0.03, rtol=0)


def test_whitening_acts_on_coils_of_kspace(rng):
    """Whitening a slab (z, coil, ky, kx) is the matrix applied at every sample."""
    kspace = torch.randn(2, 3, 5, 6, dtype=torch.complex64, generator=rng)
    matrix = torch.randn(3, 3, dtype=torch.complex64, generator=rng)
    torch.testing.assert_close(whiten(kspace, matrix), torch.einsum("ij,zjyx->ziyx", matrix, kspace))


def test_matrix_is_lower_triangular_and_inverts_the_factor(rng):
    """L⁻¹ C L⁻ᴴ = 1: what whitening means, to single precision."""
    covariance = noise_covariance(correlated(mixed_coils(5, rng), 200, rng))
    matrix = whitening_matrix(covariance, 1.0)
    assert matrix.dtype == torch.complex64
    assert torch.equal(matrix, matrix.tril())
    wide = matrix.to(torch.complex128)
    torch.testing.assert_close(wide @ covariance @ wide.mH, torch.eye(5, dtype=torch.complex128), atol=1e-5, rtol=0)


@pytest.mark.parametrize("fault", ["dead", "doubled", "few samples"])
def test_singular_noise_is_refused(fault, rng):
    """A channel without noise of its own has infinite weight: the image would be that channel's rounding error."""
    noise = torch.randn(3, 2 if fault == "few samples" else 50, dtype=torch.complex64, generator=rng)
    if fault == "dead":
        noise[2] = 0
    if fault == "doubled":
        noise[2] = noise[0]
    with pytest.raises(ValueError, match="noise covariance of 3 coils is singular: coil 2 has no noise of its own"):
        whitening_matrix(noise_covariance(noise), 1.0)


def test_what_is_no_covariance_is_refused():
    """The message says what is wrong with it."""
    with pytest.raises(ValueError, match="of 2 coils holds values that are not finite"):
        whitening_matrix(torch.full((2, 2), torch.nan), 1.0)
    with pytest.raises(ValueError, match=r"shape \(2, 3\), expected \(coil, coil\)"):
        whitening_matrix(torch.ones(2, 3), 1.0)
    with pytest.raises(ValueError, match="noise has 1 sample, at least 2 needed"):
        noise_covariance(torch.ones(2, 1))
    with pytest.raises(ValueError, match="kspace has 4 coils, but the whitening matrix has 3"):
        whiten(torch.ones(4, 5, 6), torch.ones(3, 3))


@pytest.mark.parametrize("shape", [(1, 1, 64), (2, 43, 464), (14, 1, 384)])
def test_noise_is_steady(shape, rng):
    """One short readout of one coil, or many; a receiver filter makes neighbouring samples alike."""
    noise = torch.randn(shape, dtype=torch.complex64, generator=rng)
    assert is_steady(noise)
    assert is_steady(noise + 0.3 * noise.roll(1, -1))


@pytest.mark.parametrize("strength", [1.5, 10, 1e3])
def test_noise_with_an_echo_is_not_steady(strength, rng):
    """The scanner played a pulse where it should have listened: an echo in the middle, in every coil."""
    noise = torch.randn(8, 4, 256, dtype=torch.complex64, generator=rng)
    assert not is_steady(noise + strength * torch.exp(-((torch.arange(256) - 128) / 10.0).square()))


def test_a_silent_coil_is_left_out(rng):
    """Its channel was not received: no whitening can use it, and the others do without."""
    noise = correlated(mixed_coils(4, rng), 20_000, rng)
    noise[2] = 0
    covariance = noise_covariance(noise)
    silent = silent_coils(covariance)
    assert silent.tolist() == [False, False, True, False]
    white = whiten(noise, whitening_of_others(covariance, silent, 2**0.5), dim=-2)
    assert not white[2].any()
    torch.testing.assert_close(noise_covariance(white[~silent]).real.float(), 2 * torch.eye(3), atol=0.06, rtol=0)


def test_a_noise_scan_of_zeros_has_silent_coils_only():
    """Nothing can be whitened by it."""
    covariance = noise_covariance(torch.zeros(3, 10, dtype=torch.complex64))
    assert silent_coils(covariance).all()
    assert not whitening_of_others(covariance, silent_coils(covariance)).any()
