"""How bright a scan is over its noise, and how much of it has no coil maps, told from a square that is known."""

import pytest
import torch

from kband_core.fourier import to_kspace
from kband_core.likeness import signal_to_noise, unmapped_share

N, N_COILS = 64, 4
SQUARE = torch.zeros(N, N)
SQUARE[12:52, 12:52] = 1


@pytest.fixture
def kspace(rng):
    """Maker of k-space of the square, seen alike by all coils, of brightness 1, with noise."""

    def make(noise: float) -> torch.Tensor:
        signal = to_kspace((SQUARE / N_COILS**0.5).expand(N_COILS, N, N).to(torch.complex64))
        return signal + noise * torch.randn(N_COILS, N, N, dtype=torch.complex64, generator=rng)

    return make


def maps(where: torch.Tensor) -> torch.Tensor:
    return (where / N_COILS**0.5).expand(1, N_COILS, N, N).to(torch.complex64)


@pytest.mark.parametrize("noise", [0.01, 0.1, 0.3])
def test_the_snr_is_brightness_over_noise(kspace, noise):
    """Ringing of the low-resolution image and its noise are within 15 % of the brightness, whatever the gain."""
    gain = 7.0
    found = signal_to_noise(gain * kspace(noise), torch.tensor(gain * noise))
    assert float(found) * noise == pytest.approx(1, rel=0.15)


@pytest.mark.parametrize("noise", [0.0, 0.2])
@pytest.mark.parametrize("n_lines", [16, 24, N])
def test_what_maps_leave_out_is_told_by_its_share(kspace, noise, n_lines):
    """Without maps of the upper quarter of the square a quarter of the energy lies outside; noise is not counted."""
    acs = kspace(noise)[:, N // 2 - n_lines // 2 : N // 2 + n_lines // 2]
    without_a_quarter = torch.ones(N, N)
    without_a_quarter[:22] = 0
    assert float(unmapped_share(acs, maps(without_a_quarter), torch.tensor(noise))) == pytest.approx(0.25, abs=0.03)


def test_maps_that_are_everywhere_leave_out_nothing(kspace):
    """Nor does it matter that a second set exists in a part of the image only."""
    everywhere = torch.cat([maps(torch.ones(N, N)), maps(SQUARE)])
    assert float(unmapped_share(kspace(0.1), everywhere, torch.tensor(0.1))) == 0
