"""How loud noise is, told from the centre of k-space, whatever was acquired of the rest."""

import pytest
import torch

from kband_core.bands import band_mask
from kband_core.noise import noise_level
from kband_core.noise_windows import window_gram
from kband_core.patterns import equispaced_lines, poisson_disc, variable_density_lines
from tests.core.noisy_head import SIGMA, scan


@pytest.fixture
def kspace(rng):
    return scan(6, SIGMA, rng)


def masks(rng):
    return {
        "full": torch.ones(96, 1, dtype=torch.bool),
        "equispaced": equispaced_lines(96, 4, acs_lines=24).mask,
        "random": variable_density_lines(96, 3, acs_lines=24, rng=rng).mask,
        "band along ky": band_mask((96, 80), 4, 0.0),
        "band along kx": band_mask((96, 80), 4, 90.0),
        "disc": poisson_disc((96, 80), 4, acs=(16, 16), rng=rng).mask,
    }


@pytest.mark.parametrize("sigma", [0.001, SIGMA])
@pytest.mark.parametrize("name", masks(torch.Generator()))
def test_noise_is_found_in_every_mask(rng, name, sigma):
    """Also where the head has signal at every end of k-space, 100 times brighter than the noise."""
    mask = masks(rng)[name]
    found = float(noise_level(scan(6, sigma, rng) * mask, mask))
    assert sigma * (0.8 if "band" in name else 0.95) < found < sigma * (1.35 if name == "disc" else 1.15)


@pytest.mark.parametrize("n_coils", [2, 12, 32])
def test_noise_is_found_with_any_number_of_coils(rng, n_coils):
    """Few coils hide less of the signal, many leave fewer windows for each direction."""
    found = float(noise_level(scan(n_coils, 0.01, rng), torch.ones(96, 1, dtype=torch.bool)))
    assert 0.0095 < found < 0.0125


def test_noise_of_a_partial_echo_is_no_lower(rng):
    """Samples that were never digitised are zero, not quiet."""
    kspace, mask = scan(6, 0.01, rng), torch.ones(96, 1, dtype=torch.bool)
    whole = noise_level(kspace, mask)
    kspace[..., :24] = 0
    assert float(noise_level(kspace, mask) / whole) == pytest.approx(1, rel=0.1)


def test_no_samples_have_no_noise_level():
    """Without the centre nothing can be told."""
    with pytest.raises(ValueError, match="the centre of k-space holds no samples"):
        noise_level(torch.zeros(2, 32, 32, dtype=torch.complex64), torch.ones(32, 1, dtype=torch.bool))


def test_each_plane_has_its_own_noise(kspace):
    """A batch holds planes of any brightness."""
    mask = torch.ones(96, 1, dtype=torch.bool)
    both = noise_level(torch.stack([kspace, 5 * kspace]), mask)
    assert float(both[1] / both[0]) == pytest.approx(5, rel=1e-4)


def test_one_scan_after_another(rng):
    """What is kept of pure noise is that of the windows of this scan: few whole ones now, many before."""
    kspace = torch.randn(1, 8, 24, 24, dtype=torch.complex64, generator=rng)
    every, few = torch.ones(1, 24, 1, dtype=torch.bool), torch.zeros(1, 24, 1, dtype=torch.bool)
    few[:, 8:18] = True
    levels = [float(noise_level(kspace * mask, mask)) for mask in (every, few, every)]
    assert levels == pytest.approx([1, 1, 1], abs=0.07)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
@pytest.mark.parametrize(("shape", "size"), [((2, 3, 9, 300), 3), ((4, 6, 7), 6), ((1, 5, 5), 1)])
def test_gram_of_windows_is_the_sum_over_all_of_them(shape, size, dtype, rng):
    """In the order of coil, line and sample; along kx in parts, too."""
    lines = torch.randn(shape, dtype=dtype, generator=rng)
    windows = lines.unfold(-2, size, 1).unfold(-2, size, 1).movedim(-5, -3).flatten(-3).flatten(-3, -2)
    gram = window_gram(lines, size, torch.complex128)
    torch.testing.assert_close(gram, (windows.mT @ windows.conj()).to(torch.complex128), rtol=1e-4, atol=1e-3)
