"""Coil maps from calibration lines: they span the true coils, and only where there is signal."""

import math

import pytest
import torch

from kband_core.calibration import coil_maps, espirit_maps, find_acs, walsh_maps
from kband_core.fourier import resize
from kband_core.operators import encoding_operator, predicted_kspace
from kband_core.patterns import equispaced_lines
from kband_core.phantom import coil_kspace, complex_noise, head_phantom, loop_coils
from kband_core.solvers import conjugate_gradient
from tests.laws import nmse


def head(shape, n_coils=8, fov=(1.0, 1.0)):
    """Head phantom: 24 calibration lines of its k-space, the whole of it, true maps and where the object is."""
    coils, phantom = loop_coils(n_coils, object_phase=1.0), head_phantom()
    kspace = coil_kspace(phantom, coils, shape, fov=fov, oversampling=1)
    start = shape[0] // 2 - 12
    return kspace[:, start : start + 24], kspace, coils.maps(shape), phantom.image(shape) > 0.05


def subspace_error(csm, reference, where):
    """RMS sine of the angle between coil vectors, free of phase and length; coil is dim -3."""
    csm, reference = (torch.nn.functional.normalize(c, dim=-3) for c in (csm, reference))
    cosine = (csm.conj() * reference).sum(-3).abs().clamp(max=1)
    return (1 - cosine[where].square()).mean().sqrt()


@pytest.mark.parametrize(
    ("acquired", "expected"),
    [("0011100", (2, 5)), ("101111010", (2, 6)), ("11111111", (0, 8)), ("0101010", (3, 4)), ("11101111", (4, 8))],
)
def test_acs_is_the_block_around_the_centre(acquired, expected):
    """Centre is line N//2, for even and odd N; regular lines that touch the block belong to it."""
    assert find_acs(torch.tensor([line == "1" for line in acquired])) == slice(*expected)


@pytest.mark.parametrize(("acquired", "expected"), [("10110011", (2, 4)), ("11100111", (0, 3)), ("0000", (0, 0))])
def test_acs_is_the_longest_block_if_the_centre_is_missing(acquired, expected):
    """Lines off the centre calibrate too, if worse; the first of two equal blocks; without lines there is none."""
    assert find_acs(torch.tensor([line == "1" for line in acquired])) == slice(*expected)


@pytest.mark.parametrize("shape", [(64, 48), (63, 49), (90, 115)])
def test_espirit_spans_the_true_coils(shape):
    """Six samples of kernel describe the field of a loop to half a percent in the object."""
    acs, _, csm, inside = head(shape)
    maps = espirit_maps(acs, shape)
    assert maps.shape == (1, 8, *shape)
    assert maps.dtype == torch.complex64
    assert subspace_error(maps[0], csm, inside) < 0.01


@pytest.mark.parametrize("shape", [(64, 48), (63, 49)])
def test_walsh_spans_the_true_coils(shape):
    """The local average assumes constant coils over three points: 2 to 3 % in the object."""
    acs, _, csm, inside = head(shape)
    maps = walsh_maps(acs, shape)
    assert maps.shape == (1, 8, *shape)
    assert subspace_error(maps[0], csm, inside) < 0.03
    assert (maps.abs().square().sum(-3) - 1).abs().max() < 1e-5


def test_maps_have_unit_norm_or_vanish():
    """Σ_c |S_c|² = 1 makes the SENSE image the one that an ideal receiver would see."""
    acs, _, _, inside = head((64, 48))
    energy = espirit_maps(acs, (64, 48), n_sets=2).abs().square().sum(-3)
    assert ((energy - 1).abs().minimum(energy) < 1e-5).all()
    assert (energy[0][inside] > 0.9).all()
    assert (energy[1] <= energy[0] + 1e-5).all()


@pytest.mark.parametrize("n_sets", [1, 2])
def test_coarse_grid_agrees_with_every_pixel(n_sets):
    """H(r) has 11 Fourier coefficients per axis: its eigenvectors on 64 points interpolate to 1 %."""
    acs, _, _, inside = head((100, 90))
    coarse = espirit_maps(acs, (100, 90), n_sets=n_sets)
    full = espirit_maps(acs, (100, 90), n_sets=n_sets, eigen_grid=None)
    assert subspace_error(coarse[0], full[0], inside) < 0.01


def test_wrapped_object_needs_two_sets():
    """Where head folds onto head two coil vectors share a pixel: one set cannot describe them, two can."""
    shape = (57, 65)
    acs, kspace, _, _ = head(shape, n_coils=12, fov=(0.6, 1.0))
    sampling = equispaced_lines(shape[0], 2, acs_lines=24)
    error = []
    for n_sets in (1, 2):
        csm = espirit_maps(acs, shape, n_sets=n_sets)
        model = encoding_operator(sampling, csm)
        image = conjugate_gradient(lambda x, a=model: a.normal(x) + 1e-3 * x, model.adjoint(kspace), 30)
        error.append(nmse(predicted_kspace(image, csm), kspace))
    assert error[0] > 0.05
    assert error[1] < 0.002


def test_second_set_is_empty_without_wrapping():
    """One coil vector per pixel in the head: the second eigenvalue stays below the crop."""
    acs, _, _, inside = head((64, 48))
    second = espirit_maps(acs, (64, 48), n_sets=2)[1].abs().sum(0) > 0
    assert second[inside].float().mean() < 0.02


@pytest.mark.parametrize("maps", [espirit_maps, walsh_maps])
def test_slices_do_not_mix(maps):
    """A batch of two slices equals each slice alone (rounding only)."""
    acs = head((64, 48))[0]
    other = head((64, 48), fov=(1.2, 1.1))[0]
    together = maps(torch.stack([acs, other]), (40, 39))
    assert nmse(together[0], maps(acs, (40, 39))) < 1e-6
    assert nmse(together[1], maps(other, (40, 39))) < 1e-6


def test_maps_need_only_the_centre_of_the_readout():
    """Full readouts and their central 24 samples give the same maps."""
    acs = head((64, 48))[0]
    assert torch.equal(espirit_maps(acs, (64, 48)), espirit_maps(acs[..., 12:36], (64, 48)))


@pytest.mark.parametrize("maps", [espirit_maps, walsh_maps])
def test_unusable_calibration_is_refused(maps):
    """Each refusal names the number that is wrong."""
    acs = head((64, 48))[0]
    with pytest.raises(ValueError, match="1 of 1 slice has only zeros"):
        maps(torch.zeros_like(acs), (64, 48))
    acs = acs.clone()
    acs[0, 3, 24] = math.nan
    with pytest.raises(ValueError, match="1 of 4608 calibration samples are not finite"):
        maps(acs, (64, 48))


def test_too_few_lines_are_refused():
    """A kernel of 6 needs 6 lines and 6 samples."""
    acs = head((64, 48))[0]
    with pytest.raises(ValueError, match="5 calibration lines of 48 samples, 6 of each needed"):
        espirit_maps(acs[:, :5], (64, 48))
    with pytest.raises(ValueError, match="3 sets of maps asked for"):
        espirit_maps(acs, (64, 48), n_sets=3)


def noisy_calibration(n_coils, sigma, rng, shape=(96, 128)):
    """24 lines of a head, noise of SD sigma in each coil."""
    clean = coil_kspace(head_phantom(), loop_coils(n_coils), shape, oversampling=1)
    noisy = clean + complex_noise(sigma**2 / 2 * torch.eye(n_coils), shape, rng)
    return resize(noisy, [24], dims=[-2])


@pytest.mark.parametrize("sigma", [0.15, 0.3])
def test_noise_does_not_tear_maps(rng, sigma):
    """Were noise of two coils taken for signal, every vector would be an eigenvector, and neighbours strangers."""
    csm = espirit_maps(noisy_calibration(2, sigma, rng), (96, 128), above_noise=True)[0]
    along_x, along_y = ((csm.conj() * csm.roll(1, dim)).sum(0).abs() for dim in (-1, -2))
    inside = csm.norm(dim=0) > 0.5
    for alike, dim in ((along_x, -1), (along_y, -2)):
        assert float(alike[inside & inside.roll(1, dim)].min()) > 0.9


def test_noise_is_told_only_from_windows_enough(rng):
    """16 coils have 576 directions, 24 lines of 40 samples 665 windows: their maps are those of 24 samples."""
    acs = noisy_calibration(16, 0.02, rng, shape=(96, 40))
    assert torch.equal(espirit_maps(acs, (48, 48), above_noise=True), espirit_maps(acs, (48, 48)))
    longer = noisy_calibration(8, 0.02, rng)
    assert not torch.equal(espirit_maps(longer, (48, 48), above_noise=True), espirit_maps(longer, (48, 48)))


def wrapping_head(fov, rng, n_coils=8, snr=40.0):
    """Calibration lines of a head in a field of view of `fov` boxes along ky; it is 0.92 boxes long."""
    coils = loop_coils(n_coils, object_phase=1.0)
    kspace = coil_kspace(head_phantom(), coils, (96, 80), fov=(fov, 1.0), oversampling=1)
    noise = complex_noise(torch.eye(n_coils) * (0.8 / snr) ** 2, (96, 80), rng)
    return resize(kspace + noise, [24], [-2])


@pytest.mark.parametrize(("fov", "n_sets"), [(1.0, 1), (0.9, 2), (0.8, 2), (0.5, 2)])
@pytest.mark.parametrize("snr", [10, 40, 200])
def test_a_second_set_is_made_where_the_head_wraps(rng, fov, n_sets, snr):
    """From 10 mm on either side, at any noise; a head that fits needs none."""
    assert coil_maps(wrapping_head(fov, rng, snr=snr), (96, 80)).csm.shape[0] == n_sets


def test_maps_exist_everywhere_and_are_certain_in_the_head(rng):
    """Noise in air is combined as in the head, so that images have no border there."""
    maps = coil_maps(wrapping_head(1.0, rng), (96, 80))
    assert torch.allclose(maps.csm.abs().square().sum(-3), torch.ones(1, 96, 80), atol=1e-3)
    head = head_phantom().image((96, 80)) > 0
    assert float(maps.support[head].float().mean()) > 0.99
    assert float(maps.support[~head].float().mean()) < 0.9
    assert torch.equal(maps.certain() != 0, (maps.csm != 0) & maps.support)


def test_two_coils_get_one_set(rng):
    """They can tell two objects in a pixel, but then nothing of lines that were left out."""
    assert coil_maps(wrapping_head(0.7, rng, n_coils=2), (96, 80)).csm.shape[0] == 1


def test_maps_of_faint_tissue_are_certain(rng):
    """Where noise is as strong as the brain, SENSE, which is confined to certain maps, must not lose the skull."""
    maps = coil_maps(wrapping_head(1.0, rng, snr=1.0), (96, 80))
    assert float(maps.support[head_phantom().image((96, 80)) > 0.05].float().mean()) > 0.85


def test_a_plane_of_noise_has_hardly_a_certain_map(rng):
    """Where noise is known none is signal, though there are fewer windows than directions: 0.4 % of pixels are certain,
    all of them where it is not known; maps exist."""
    noise = complex_noise(torch.eye(8), (3, 16, 16), rng).movedim(0, 1)
    maps = coil_maps(noise, (24, 20), noise=torch.tensor(2.0**0.5))
    assert maps.support.float().mean() < 0.02
    assert coil_maps(noise, (24, 20)).support.all()
    assert (maps.csm[:, 0].abs().square().sum(-3) > 0.99).all()


def test_air_is_left_out_where_noise_is_known(rng):
    """A head in 16 × 16 lines, too few to tell noise: without it all pixels are certain, with it 68 %."""
    acs = resize(noisy_calibration(8, 0.1, rng, shape=(16, 16)), [16], dims=[-2])
    assert coil_maps(acs, (64, 64)).support.float().mean() > 0.95
    assert coil_maps(acs, (64, 64), noise=torch.tensor(0.1)).support.float().mean() < 0.8
