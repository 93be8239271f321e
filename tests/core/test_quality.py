"""The error of an image from one band: right on average, over all bands enumerated, and wrong without the weight."""

import pytest
import torch

from kband_core.bands import band_mask, expected_coverage
from kband_core.quality import held_out_nmse, weighted_band_energy, weighted_band_nmse, weighted_error_by_radius

SHAPE = (31, 32)
BANDS = torch.stack([band_mask(SHAPE, 4, angle, geometry="strip") for angle in range(180)])
WEIGHT = 1 / expected_coverage(SHAPE, 4, geometry="strip", angles=range(180))


def truth_and_prediction():
    """K-space that falls off as 1/|k|, and a prediction whose relative error grows with |k|, as it does in practice."""
    rng = torch.Generator().manual_seed(0)
    rows, columns = (torch.arange(n, dtype=torch.float64) - n // 2 for n in SHAPE)
    radius = torch.hypot(rows[:, None], columns)
    signal, error = (torch.randn(4, *SHAPE, dtype=torch.complex128, generator=rng) for _ in range(2))
    kspace = signal / (1 + radius)
    return kspace, kspace + error / (1 + radius) * radius / 50


def nmse(predicted, kspace):
    return (predicted - kspace).abs().square().sum() / kspace.abs().square().sum()


def test_numerator_and_denominator_are_unbiased():
    """The mean over all 180 bands is the sum over all of k-space: to rounding."""
    kspace, predicted = truth_and_prediction()
    for array in (kspace, predicted - kspace):
        estimates = weighted_band_energy(array.expand(180, *array.shape), BANDS, WEIGHT)
        assert estimates.mean().item() == pytest.approx(array.abs().square().sum().item(), rel=1e-12)


def test_one_band_tells_the_error():
    """Single bands scatter around the NMSE by less than a fifth; without W every one says it were better."""
    kspace, predicted = truth_and_prediction()
    expected = nmse(predicted, kspace)
    several = (predicted.expand(180, *predicted.shape), kspace.expand(180, *kspace.shape), BANDS)
    weighted = weighted_band_nmse(*several, WEIGHT) / expected
    unweighted = weighted_band_nmse(*several, torch.ones(SHAPE)) / expected
    assert weighted.std() < 0.2
    assert weighted.mean().item() == pytest.approx(1, abs=0.02)
    assert unweighted.max() < 0.8


def test_all_samples_give_the_error_itself():
    """With a band and a weight of ones nothing is estimated."""
    kspace, predicted = truth_and_prediction()
    everything = torch.ones(SHAPE, dtype=torch.bool)
    estimate = weighted_band_nmse(predicted, kspace, everything, torch.ones(SHAPE))
    assert estimate.item() == pytest.approx(nmse(predicted, kspace).item(), rel=1e-12)
    rings = weighted_error_by_radius(predicted, kspace, everything, torch.ones(SHAPE), edges=[0, 0.5, 1.5])
    assert rings[0] < estimate < rings[1]


def test_error_by_radius_finds_the_ring():
    """Samples 1 % and 20 % off, one in each ring, by hand; r = 1 at the end of each axis, DC at N//2."""
    kspace = torch.ones(2, *SHAPE, dtype=torch.complex64)
    predicted = kspace.clone()
    predicted[:, 15, 16] = 1.01
    predicted[:, 15 + 12, 16] = 1.2
    band = torch.zeros(SHAPE, dtype=torch.bool)
    band[15, 16] = band[15 + 12, 16] = True
    weight = torch.full(SHAPE, 3.0)
    rings = weighted_error_by_radius(predicted, kspace, band, weight, edges=[0, 0.25, 0.5, 12 / 15.5 + 0.001])
    torch.testing.assert_close(rings, torch.tensor([1e-4, torch.nan, 0.04]), equal_nan=True, rtol=1e-4, atol=0)


def test_mismatches_are_refused():
    """One sentence that names both sides."""
    kspace, predicted = truth_and_prediction()
    with pytest.raises(ValueError, match="band has 30 along ky, but kspace has 31"):
        weighted_band_nmse(predicted, kspace, BANDS[0, 1:], WEIGHT)


def test_the_noise_of_lines_that_judge_is_no_error():
    """4,000 draws of 8 of 32 lines: the mean estimate is the error of the image, ten times below the lines' noise."""
    rng = torch.Generator().manual_seed(1)
    kspace = torch.randn(4, 32, 16, dtype=torch.complex128, generator=rng) * 30
    predicted = kspace + 0.3 * torch.randn(kspace.shape, dtype=kspace.dtype, generator=rng)
    expected = float((predicted - kspace).abs().square().sum() / predicted.abs().square().sum())
    estimates = []
    for _ in range(4000):
        weight = torch.zeros(32, 1, dtype=torch.float64)
        weight[torch.randperm(32, generator=rng)[:8]] = 4
        noisy = kspace + torch.randn(kspace.shape, dtype=kspace.dtype, generator=rng)
        estimates.append(held_out_nmse(predicted, noisy, weight, noise=1.0))
    nmse, floor, _ = (torch.stack(values) for values in zip(*estimates, strict=True))
    assert float(nmse.mean()) == pytest.approx(expected, rel=0.03)
    assert float(nmse.std()) == pytest.approx(float(floor[0]), rel=0.3)
    assert float(nmse.mean()) < 0.15 * float(held_out_nmse(predicted, noisy, weight).nmse)


def test_the_interval_holds_the_error_nine_times_of_ten():
    """1,000 draws of each of 64 lines with a probability of 1/2, their noise included."""
    rng = torch.Generator().manual_seed(1)
    kspace = torch.randn(2, 64, 8, dtype=torch.complex128, generator=rng) * 30
    predicted = kspace + torch.randn(kspace.shape, dtype=kspace.dtype, generator=rng)
    expected = float((predicted - kspace).abs().square().sum() / predicted.abs().square().sum())
    holds, deviations, estimates = 0, [], []
    for _ in range(1000):
        weight = 2.0 * (torch.rand(64, 1, dtype=torch.float64, generator=rng) < 0.5)
        noisy = kspace + torch.randn(kspace.shape, dtype=kspace.dtype, generator=rng)
        found = held_out_nmse(predicted, noisy, weight, noise=1.0)
        low, high = found.interval()
        holds += bool(low <= expected <= high)
        deviations.append(found.deviation)
        estimates.append(found.nmse)
    assert float(torch.stack(deviations).mean()) == pytest.approx(float(torch.stack(estimates).std()), rel=0.05)
    assert holds / 1000 == pytest.approx(0.9, abs=0.03)
