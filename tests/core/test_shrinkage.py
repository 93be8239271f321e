"""A network's image is moved towards GRAPPA's where errors of GRAPPA do not explain their difference."""

import pytest
import torch

from kband_core import shrinkage
from kband_core.calibration import espirit_maps
from kband_core.coils import combine
from kband_core.fourier import to_image
from kband_core.grappa import GrappaKernel, apply_grappa, calibrate_grappa
from kband_core.operators import predicted_kspace
from kband_core.patterns import equispaced_lines, variable_density_lines
from kband_core.phantom import coil_kspace, complex_noise, head_phantom, loop_coils
from kband_core.reconstruct import sense
from kband_core.shrinkage import move_towards_grappa

N, SIGMA = 96, 0.02


@pytest.fixture
def scan(rng):
    """K-space of a noisy head, what R=3 acquires of it, maps, the kernel, and the image of all lines."""
    noisy = coil_kspace(head_phantom(), loop_coils(8), (N, N), oversampling=1)
    noisy = noisy + complex_noise(SIGMA**2 / 2 * torch.eye(8), (N, N), rng)
    sampling, acs = equispaced_lines(N, 3, acs_lines=24), noisy[:, N // 2 - 12 : N // 2 + 12]
    csm = espirit_maps(acs, (N, N))
    return noisy * sampling.mask, sampling, csm, calibrate_grappa(acs, 3), combine(to_image(noisy), csm)[0]


def of_grappa(kspace, sampling, csm, kernel):
    return combine(to_image(apply_grappa(kernel, kspace, sampling)), csm)[0]


def distance(image, other):
    return float((image - other).norm() / other.norm())


def test_a_good_image_stays_as_it_is(scan):
    """It differs from GRAPPA's by GRAPPA's errors alone, which noise and misfit explain, were noise told as too low."""
    kspace, sampling, csm, kernel, truth = scan
    image, share = move_towards_grappa(truth, kspace, sampling, csm, kernel, torch.tensor(0.9 * SIGMA))
    assert share < 0.1
    assert distance(image, truth) < 0.1 * distance(of_grappa(kspace, sampling, csm, kernel), truth)


def test_invented_structure_is_taken_back(scan):
    """Detail that nobody measured, in lines that were left out: most of it is gone, and the share says so."""
    kspace, sampling, csm, kernel, truth = scan
    lesions = torch.zeros(N, N)
    lesions[30:60:6, 50:60] = 2 * truth.abs().max()
    invented = truth + lesions
    image, share = move_towards_grappa(invented, kspace, sampling, csm, kernel, torch.tensor(SIGMA))
    assert share > 0.8
    assert distance(image, truth) < 0.65 * distance(invented, truth)


def test_between_the_two_the_error_is_less_than_of_both(scan, rng):
    """Errors as large as GRAPPA's, but others: the mixture is better than either."""
    kspace, sampling, csm, kernel, truth = scan
    grappa = of_grappa(kspace, sampling, csm, kernel)
    missed = complex_noise(torch.eye(1), (N, N), rng)[0] * (csm.abs().sum((0, 1)) > 0)
    worse = truth + missed * (grappa - truth).norm() / missed.norm()
    image, share = move_towards_grappa(worse, kspace, sampling, csm, kernel, torch.tensor(SIGMA))
    assert 0.1 < share < 0.7
    assert distance(image, truth) < 0.95 * min(distance(grappa, truth), distance(worse, truth))


def test_a_kernel_that_does_not_fit_has_no_say(scan):
    """Noise told as next to nothing cannot explain the difference; what the kernel misses of calibration lines can."""
    kspace, sampling, csm, kernel, truth = scan
    useless = GrappaKernel(kernel.weights.flip(-1).conj())
    image, share = move_towards_grappa(truth, kspace, sampling, csm, useless, torch.tensor(1e-6))
    assert share < 0.5
    assert distance(image, truth) < 0.5 * distance(of_grappa(kspace, sampling, csm, useless), truth)


def test_an_image_that_explains_what_was_acquired_stays(scan):
    """Whatever a kernel that does not fit would say of the lines that nobody acquired."""
    kspace, sampling, csm, kernel, truth = scan
    useless = GrappaKernel(kernel.weights.flip(-1).conj())
    image, share = move_towards_grappa(truth, kspace, sampling, csm, useless, torch.tensor(SIGMA))
    assert share == 0
    assert torch.equal(image, truth)


def test_grappa_is_asked_only_about_images_that_miss_acquired_lines(scan, monkeypatch):
    """GRAPPA errs here where no calibration line can tell. An image that follows the noise of acquired lines is left
    alone; one without noise misses all of it, more than is left by a reconstruction with as many unknowns as pixels.
    """
    kspace, sampling, csm, kernel, _ = scan
    fitted = sense(kspace, sampling, csm, regularisation=1e-3, n_iterations=50)
    outer = (torch.arange(N) - N // 2).abs()[:, None] > 14

    def erring(kernel, kspace, sampling):
        return apply_grappa(kernel, kspace, sampling) * torch.where(outer & ~sampling.mask, 3.0, 1.0)

    monkeypatch.setattr(shrinkage, "apply_grappa", erring)
    assert move_towards_grappa(fitted, kspace, sampling, csm, kernel, torch.tensor(SIGMA))[1] == 0
    monkeypatch.setattr(shrinkage, "apply_grappa", apply_grappa)
    clean = coil_kspace(head_phantom(), loop_coils(8), (N, N), oversampling=1)
    noiseless = combine(to_image(clean), csm)[0]
    residual = (kspace - predicted_kspace(noiseless[None], csm))[:, sampling.lines()]
    assert float(residual.abs().square().mean()) == pytest.approx(SIGMA**2, rel=0.1)
    monkeypatch.setattr(shrinkage, "apply_grappa", erring)
    assert move_towards_grappa(noiseless, kspace, sampling, csm, kernel, torch.tensor(SIGMA))[1] > 0


def test_acquired_lines_change_nothing(scan):
    """What GRAPPA did not fill is not its to judge: a full scan gives no difference, a random pattern no grid."""
    kspace, _, csm, kernel, truth = scan
    everything = equispaced_lines(N, 1)
    image, share = move_towards_grappa(truth, kspace, everything, csm, kernel, torch.tensor(SIGMA))
    assert share == 0
    assert torch.equal(image, truth)
    at_random = variable_density_lines(N, 3, acs_lines=24, rng=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="of the R=3 grid is missing"):
        move_towards_grappa(truth, kspace, at_random, csm, kernel, torch.tensor(SIGMA))
