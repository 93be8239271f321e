"""Anatomy is never lost to coil maps: what they do not explain joins the image, and noise alone changes nothing."""

import pytest
import torch

from kband_core.calibration import espirit_maps
from kband_core.coil_noise import calibration_whitening
from kband_core.coils import compress, root_sum_of_squares
from kband_core.completion import combine_completed, complete
from kband_core.fourier import resize, to_image
from kband_core.grappa import apply_grappa, calibrate_grappa
from kband_core.metrics import nmse
from kband_core.patterns import equispaced_lines
from kband_core.phantom import coil_kspace, complex_noise, head_phantom, loop_coils
from kband_core.reconstruct import sense_sets
from kband_core.sampling import Grid

SHAPE = (96, 80)
EVERY_LINE = Grid(torch.ones(96, 1, dtype=torch.bool))


def head(n_coils=8, fov=1.0):
    """Noise-free k-space; a field of view below 0.92 wraps the head."""
    coils = loop_coils(n_coils, object_phase=1.0)
    return coil_kspace(head_phantom(), coils, SHAPE, fov=(fov, 1.0), oversampling=1)


def ring(n_coils, correlation=0.0):
    coil = torch.arange(n_coils)
    apart = (coil[:, None] - coil).abs()
    return (correlation ** torch.minimum(apart, n_coils - apart)).to(torch.complex64)


def loud(n_coils, factor):
    covariance = ring(n_coils)
    covariance[1, 1] = factor**2
    return covariance


def white(kspace, n_lines=24):
    """K-space whose noise, told from its calibration lines, is made white, those lines, and what undoes it."""
    acs = resize(kspace, [n_lines], [-2])
    matrix = calibration_whitening(acs[None])
    return compress(kspace, matrix), compress(acs, matrix), torch.linalg.inv(matrix)


def error(image, truth):
    """NMSE of a magnitude after the one factor that fits best."""
    image = image.abs()
    return float(nmse(image * ((image * truth).sum() / image.square().sum()), truth))


SCANS = {
    "clean": (1.0, ring(8), 40),
    "hardly any noise": (1.0, ring(8), 400),
    "low SNR": (1.0, ring(8), 5),
    "lowest SNR": (1.0, ring(8), 1),
    "correlated noise": (1.0, ring(8, 0.5), 10),
    "a loud coil": (1.0, loud(8, 10), 40),
    "a louder coil": (1.0, loud(8, 30), 40),
    "wrapped": (0.8, ring(8), 40),
    "wrapped, correlated noise": (0.7, ring(8, 0.5), 20),
    "wrapped, a loud coil": (0.7, loud(8, 10), 40),
    "folded in the middle": (0.5, ring(8), 40),
    "four coils": (0.8, ring(4), 20),
}


@pytest.mark.parametrize("n_lines", [8, 24])
@pytest.mark.parametrize("name", SCANS)
def test_a_fully_sampled_image_is_no_worse_than_the_root_sum_of_squares(rng, name, n_lines):
    """Whatever coils, noise and calibration: against noise-free data, with one factor for all pixels."""
    fov, covariance, snr = SCANS[name]
    clean = head(len(covariance), fov)
    kspace = clean + complex_noise(covariance * (0.8 / snr) ** 2, SHAPE, rng)
    kspace_white, acs, unmixing = white(kspace, n_lines)
    csm = espirit_maps(acs, SHAPE, crop=0, above_noise=True)
    image = combine_completed(kspace_white, kspace_white, EVERY_LINE, csm, unmixing=unmixing).image
    truth, plain = root_sum_of_squares(to_image(clean)), root_sum_of_squares(to_image(kspace))
    assert error(image, truth) < error(plain, truth)


@pytest.mark.parametrize("name", SCANS)
def test_no_pixel_of_a_fully_sampled_image_is_lost(rng, name):
    """In squares of 5 pixels, where noise averages out, it is as bright as the noise-free root sum of squares."""
    fov, covariance, snr = SCANS[name]
    clean = head(len(covariance), fov)
    kspace = clean + complex_noise(covariance * (0.8 / snr) ** 2, SHAPE, rng)
    kspace_white, acs, unmixing = white(kspace)
    csm = espirit_maps(acs, SHAPE, crop=0, above_noise=True)
    image = combine_completed(kspace_white, kspace_white, EVERY_LINE, csm, unmixing=unmixing).image.abs()
    noise = float(root_sum_of_squares(to_image(kspace - clean)).square().mean().sqrt())
    lost = root_sum_of_squares(to_image(clean)) - image
    assert float(torch.nn.functional.avg_pool2d(lost[None], 5).max()) < noise


def test_maps_that_explain_everything_combine_alone(rng):
    """Where noise is all that is left, the image is theirs to the last bit: nothing of the rest joins."""
    kspace = head() + complex_noise(ring(8) * 0.02**2, SHAPE, rng)
    kspace_white, acs, _ = white(kspace)
    csm = espirit_maps(acs, SHAPE, crop=0, above_noise=True)
    completed = combine_completed(kspace_white, kspace_white, EVERY_LINE, csm)
    by_maps = (csm[0].conj() * to_image(kspace_white)).sum(-3)
    assert float(completed.share) == 0
    assert torch.allclose(completed.image, by_maps, rtol=1e-4, atol=1e-4)


def test_the_shading_is_that_of_the_coils_as_they_came():
    """However coils are mixed and scaled before, the image is the root sum of squares of what came."""
    kspace, truth = head(), root_sum_of_squares(to_image(head()))
    mixing = torch.diag(torch.tensor([1.0, 5, 0.2, 1, 3, 1, 0.5, 1])) + 0.3 * ring(8, 0.5)
    mixed = compress(kspace, 1e4 * mixing.to(kspace.dtype))
    csm = espirit_maps(resize(mixed, [24], [-2]), SHAPE, crop=0)
    unmixing = torch.linalg.inv(1e4 * mixing).to(kspace.dtype)
    image = combine_completed(mixed, mixed, EVERY_LINE, csm, unmixing=unmixing).image.abs()
    assert float((image - truth).abs().max() / truth.max()) < 0.01


def test_a_hole_in_the_maps_is_no_hole_in_the_image(rng):
    """A disc of 20 pixels without maps in the middle of the brain."""
    kspace = head() + complex_noise(ring(8) * 0.02**2, SHAPE, rng)
    kspace_white, acs, unmixing = white(kspace)
    csm = espirit_maps(acs, SHAPE, crop=0, above_noise=True)
    csm[..., 38:58, 30:50] = 0
    completed = combine_completed(kspace_white, kspace_white, EVERY_LINE, csm, unmixing=unmixing)
    truth = root_sum_of_squares(to_image(head()))
    assert error(completed.image, truth) < 0.005
    assert 0.02 < float(completed.share) < 0.2


def undersampled(rng, acceleration, fov=1.0, n_lines=24):
    """White k-space of every so many lines, mask, kernel, calibration lines, what undoes the whitening, the truth."""
    clean = head(fov=fov)
    kspace_white, acs, unmixing = white(clean + complex_noise(ring(8) * 0.02**2, SHAPE, rng), n_lines)
    lines = equispaced_lines(96, acceleration, acs_lines=n_lines)
    kernel = calibrate_grappa(acs, acceleration)
    return kspace_white * lines.mask, lines, kernel, acs, unmixing, root_sum_of_squares(to_image(clean))


def sense(kspace, lines, csm):
    return sense_sets(kspace, lines, csm, regularisation=0.01, n_iterations=20)


POOR = [(2, 1, 6), (2, 1, 8), (2, 0.8, 24), (3, 0.85, 24), (4, 0.7, 24)]


@pytest.mark.parametrize(("acceleration", "fov", "n_lines"), POOR)
def test_poor_maps_cost_no_more_than_a_root_sum_of_squares(rng, acceleration, fov, n_lines):
    """Of coils whose gaps GRAPPA has filled: a few calibration lines, or a head that wraps."""
    kspace, lines, kernel, acs, unmixing, truth = undersampled(rng, acceleration, fov, n_lines)
    filled = apply_grappa(kernel, kspace, lines)
    csm = espirit_maps(acs, SHAPE, crop=0, above_noise=True)
    image = combine_completed(kspace, filled, lines, csm, unmixing=unmixing).image
    assert error(image, truth) < 1.05 * error(root_sum_of_squares(to_image(compress(filled, unmixing))), truth)


@pytest.mark.parametrize(("acceleration", "fov", "n_lines"), POOR[:3])
def test_sense_with_poor_maps_is_completed_by_grappa(rng, acceleration, fov, n_lines):
    """SENSE alone, with maps that do not exist or fold, is worse by five to a hundred times."""
    kspace, lines, kernel, acs, unmixing, truth = undersampled(rng, acceleration, fov, n_lines)
    filled = apply_grappa(kernel, kspace, lines)
    csm = espirit_maps(acs, SHAPE, above_noise=True)
    image = sense(kspace, lines, csm)
    yardstick = error(root_sum_of_squares(to_image(compress(filled, unmixing))), truth)
    assert error(image[0], truth) > 5 * yardstick
    completed = complete(image, csm, kspace, lines, fill=lambda: filled, unmixing=unmixing)
    assert error(completed.image, truth) < 1.05 * yardstick


def fail():
    raise AssertionError("nothing is to be filled")


@pytest.mark.parametrize("acceleration", [2, 3, 4])
def test_sense_with_good_maps_stays_as_it_is(rng, acceleration):
    """What SENSE misses of the acquired lines is noise then."""
    kspace, lines, _, acs, _, _ = undersampled(rng, acceleration)
    csm = espirit_maps(acs, SHAPE, above_noise=True)
    image = sense(kspace, lines, csm)
    completed = complete(image, csm, kspace, lines, fill=fail)
    assert float(completed.share) == 0
    assert torch.allclose(completed.image.abs(), image[0].abs(), rtol=1e-4, atol=1e-3)


def test_an_image_nearer_to_its_data_than_the_filling_stays(rng):
    """An image that misses a thousandth of what was measured is not given up for a filling that misses a tenth."""
    kspace, lines, kernel, acs, _, _ = undersampled(rng, 4)
    csm = espirit_maps(acs, SHAPE, above_noise=True)
    image, filled = 0.97 * sense(kspace, lines, csm), apply_grappa(kernel, kspace, lines)
    plain, shy = (
        complete(image, csm, kspace, lines, fill=lambda: filled, fill_misses=lambda share=share: share)
        for share in (0.0, 0.1)
    )
    alone = complete(image, csm, kspace, lines, fill=None)
    assert float(plain.share) == float(shy.share) == float(alone.share) > 0
    assert float((plain.image - alone.image).norm()) > 10 * float((shy.image - alone.image).norm())


def test_without_a_filling_the_image_stays_and_tells_what_it_misses(rng):
    """Lines on no grid cannot be filled."""
    kspace, lines, _, acs, _, _ = undersampled(rng, 2, fov=0.8)
    csm = espirit_maps(acs, SHAPE, above_noise=True)
    image = sense(kspace, lines, csm)
    completed = complete(image, csm, kspace, lines, fill=None)
    assert torch.allclose(completed.image, image[0] * (csm[0] != 0).any(0), rtol=1e-4, atol=1e-3)
    assert float(completed.share) > 0.01


def test_planes_are_completed_each_by_itself(rng):
    """A batch of one plane that wraps and one that does not."""
    planes = [white(head(fov=fov) + complex_noise(ring(8) * 0.02**2, SHAPE, rng)) for fov in (1.0, 0.7)]
    kspace, unmixing = torch.stack([plane[0] for plane in planes]), torch.stack([plane[2] for plane in planes])
    csm = espirit_maps(torch.stack([plane[1] for plane in planes]), SHAPE, crop=0, above_noise=True)
    both = combine_completed(kspace, kspace, EVERY_LINE, csm, unmixing=unmixing)
    assert float(both.share[0]) == 0
    assert float(both.share[1]) > 0.01
    one = combine_completed(kspace[1], kspace[1], EVERY_LINE, csm[1], unmixing=unmixing[1])
    assert torch.allclose(both.image[1], one.image, rtol=1e-4, atol=1e-4)
