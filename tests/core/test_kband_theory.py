"""The theorems of k-band, with every one of 180 bands enumerated: equalities, to rounding in float64.

Wang et al., K-band, arXiv 2308.02958, Proposition 3.1 and Corollaries 3.1 and 3.3; and what they do not say.
"""

import functools

import pytest
import torch

from kband_core.bands import band_mask, expected_coverage
from kband_core.fourier import to_image
from kband_core.losses import kspace_loss
from kband_core.operators import predicted_kspace
from kband_core.patterns import variable_density_lines
from tests.laws import all_samples

SHAPE, ACCELERATION, N_COILS = (24, 24), 4, 3
BANDS = torch.stack([band_mask(SHAPE, ACCELERATION, angle) for angle in range(180)]).double()
COVERAGE = expected_coverage(SHAPE, ACCELERATION, angles=range(180))
COVERED = (COVERAGE > 0).double()
WEIGHT = torch.where(COVERAGE > 0, 1 / COVERAGE, 0)


class Toy(torch.nn.Module):
    """A network of both worlds: a gain of every k-space sample, then a 5 x 5 convolution with tanh."""

    def __init__(self, rng):
        super().__init__()
        self.gain = torch.nn.Parameter(1 + 0.1 * torch.randn(SHAPE, dtype=torch.float64, generator=rng))
        self.kernels = torch.nn.ParameterList(
            0.1 * torch.randn(*size, 5, 5, dtype=torch.float64, generator=rng) for size in ((4, 2), (2, 4))
        )

    def forward(self, kspace, csm):
        image = (csm.conj() * to_image(self.gain * kspace)).sum(-3)
        features = torch.view_as_real(image).movedim(-1, 0)[None]
        for kernel in self.kernels:
            features = torch.nn.functional.conv2d(features, kernel, padding=2).tanh()
        return image + torch.view_as_complex(features[0].movedim(0, -1).contiguous())


@functools.cache
def scene():
    """Network, maps, all samples of an object with a spectrum like 1/|k|, and the lines the network sees."""
    rng = torch.Generator().manual_seed(0)
    y, x = (torch.linspace(-1, 1, n, dtype=torch.float64) for n in SHAPE)
    y, x = y[:, None], x[None]
    spectrum = torch.randn(SHAPE, dtype=torch.complex128, generator=rng) / (1 / 6 + torch.hypot(y, x))
    image = to_image(spectrum) * (x**2 + y**2 < 0.8)
    csm = torch.stack([torch.exp(-((y - a) ** 2) - (x - b) ** 2) for a, b in ((-1, 0), (0.5, 1), (0.5, -1))])
    csm = (csm / csm.norm(dim=0)).to(torch.complex128)[None]
    kspace = predicted_kspace(image[None], csm)
    kspace = kspace + 0.02 * torch.randn(kspace.shape, dtype=kspace.dtype, generator=rng)
    lines = variable_density_lines(SHAPE[0], 3, acs_lines=4, rng=rng).mask.double()
    return Toy(rng), csm, kspace, lines


def gradient(weight, norm="l1", *, seen=1.0, residual=1.0):
    """Gradient of the loss over all parameters. The network sees the lines within `seen`; the targets are moved so
    that all residuals become `residual` times as large at the same prediction."""
    network, csm, kspace, lines = scene()
    image = network(kspace * lines * seen, csm[0])[None, None]
    predicted = predicted_kspace(image, csm[None]).detach()
    target = predicted - residual * (predicted - kspace)
    loss = kspace_loss(image, all_samples(csm[None]), target, weight[None], norm=norm)
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(network.parameters()))])


def off(one, other):
    return ((one - other).norm() / other.norm()).item()


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_weighted_bands_give_the_full_gradient(norm):
    """Proposition 3.1: the mean gradient over all bands, weighted by 1/E, is that of all covered samples."""
    bands = torch.stack([gradient(WEIGHT * band, norm) for band in BANDS]).mean(0)
    assert off(bands, gradient(COVERED, norm)) < 1e-12


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_unweighted_bands_do_not(norm):
    """Without W the centre is over-exposed: even at its best scale the gradient is off by more than 15 %."""
    bands = torch.stack([gradient(band, norm) for band in BANDS]).mean(0)
    full = gradient(COVERED, norm)
    assert off(bands * (bands @ full) / (bands @ bands), full) > 0.15


def test_any_weight_trains_a_weighted_risk(rng):
    """Corollary 3.1: weights V train the full risk weighted by V·E, whatever V is; so a cap is a known bias."""
    weight = torch.rand(SHAPE, dtype=torch.float64, generator=rng)
    bands = torch.stack([gradient(weight * band) for band in BANDS]).mean(0)
    assert off(bands, gradient(weight * COVERAGE)) < 1e-12


def test_an_epoch_of_a_finite_study_is_full_supervision():
    """Corollary 3.1: with V = (Σ B)⁻¹ over the angles of a study, one epoch sums up to the full gradient, exactly."""
    angles = [3.0, 40.5, 77.0, 77.5, 131.0, 160.0]
    bands = [band_mask(SHAPE, ACCELERATION, angle) for angle in angles]
    coverage = expected_coverage(SHAPE, ACCELERATION, angles=angles)
    weight = torch.where(coverage > 0, 1 / (coverage * len(angles)), 0)
    epoch = sum(gradient(weight * band) for band in bands)
    assert off(epoch, gradient((coverage > 0).double())) < 1e-12


def spread(norm, residual):
    """Variance of the gradient over bands, and its ratio to the squared length of the mean."""
    bands = torch.stack([gradient(WEIGHT * band, norm, residual=residual) for band in BANDS])
    variance = (bands - bands.mean(0)).square().sum(1).mean()
    return variance.item(), (variance / bands.mean(0).square().sum()).item()


def test_variance_of_l1_is_bounded():
    """Corollary 3.3: residuals 10 times as large leave the variance of ℓ1 as it is; that of ℓ2 grows 100-fold."""
    assert spread("l1", 10)[0] == pytest.approx(spread("l1", 1)[0], rel=1e-9)
    assert spread("l2", 10)[0] == pytest.approx(100 * spread("l2", 1)[0], rel=1e-9)


def test_relative_variance_of_l2_is_lower():
    """What the corollary does not say: relative to the gradient ℓ2 scatters less, since the centre, in every band,
    dominates it. Adam divides by scale; the case for ℓ1 is the balance of centre and periphery, not variance."""
    assert spread("l2", 1)[1] < spread("l1", 1)[1]


def test_input_and_band_are_coupled():
    """What the proposition needs and practice does not give: an input independent of the band. With the input within
    the same band the mean gradient is not the full one, by several per cent at the least."""
    practised = torch.stack([gradient(WEIGHT * band, seen=band) for band in BANDS]).mean(0)
    assert off(practised, gradient(COVERED)) > 0.05
