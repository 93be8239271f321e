"""RemoveROOversampling and AsymmetricEchoAdjustRO, twins of the stock gadgets that change the readout."""

import numpy as np
import pytest
import torch

from gadgets.errors import PipelineError
from gadgets.stock import AsymmetricEchoAdjustRO, RemoveROOversampling
from kband_core.fourier import to_image

NOISE = 19


def readout(positions, n_samples, fov):
    """Analytic readout of point objects at `positions` (mm): k-space at spacing 1/fov, centre at N//2."""
    k = (np.arange(n_samples) - n_samples // 2) / fov
    return sum(np.exp(-2j * np.pi * k * x) for x in positions)[None]


@pytest.fixture
def remove(minimal_scan):
    def remove(*lines, **header):
        gadget = RemoveROOversampling()
        gadget.open(minimal_scan(**header))
        return list(gadget.process(lines))

    return remove


@pytest.fixture
def adjust(minimal_scan):
    def adjust(line, **header):
        gadget = AsymmetricEchoAdjustRO()
        gadget.open(minimal_scan(**header))
        (out,) = gadget.process([line])
        return out

    return adjust


@pytest.mark.parametrize("n_samples", [64, 65])
def test_cropped_line_keeps_objects_where_they_are(n_samples, remove, make_acquisition):
    """Points on the pixel grid are imaged at their pixels in the smaller field of view, for even and odd N."""
    fov = 256.0
    pixel = fov / n_samples
    line = make_acquisition(readout([0, 10 * pixel, -20 * pixel], 2 * n_samples, 2 * fov))
    (out,) = remove(line, matrix=(n_samples, 32, 1), fov=(fov, 128.0, 5.0))
    image = to_image(torch.from_numpy(out.data), dims=(-1,)).abs()[0]
    middle = n_samples // 2
    expected = np.zeros(n_samples)
    expected[[middle, middle + 10, middle - 20]] = np.sqrt(2 * n_samples)
    np.testing.assert_allclose(image, expected, atol=1e-4)


def test_objects_outside_the_field_of_view_vanish(remove, make_acquisition):
    """Cropping in image space, not thinning of k-space, keeps them from folding in."""
    line = make_acquisition(readout([-200.0], 128, 512.0))
    (out,) = remove(line)
    assert np.abs(out.data).max() < 1e-4


def test_noise_keeps_its_size(remove, make_acquisition, noise):
    """Both transforms are orthonormal: white noise of SD 1 stays so (32,000 samples: ±2 %)."""
    (out,) = remove(make_acquisition(noise(500, 128)))
    assert out.data.dtype == np.complex64
    assert abs(out.data.real.std() - 1) < 0.02


def test_counts_of_samples_are_divided(remove, make_acquisition):
    """Samples, centre and discards halve with the field of view; fractions are cut off; the input is untouched."""
    header = {"center_sample": 64, "discard_pre": 11, "discard_post": 6}
    line = make_acquisition(header=header)
    (out,) = remove(line)
    assert out.data.shape == (4, 64)
    assert (out.number_of_samples, out.center_sample, out.discard_pre, out.discard_post) == (64, 32, 5, 3)
    assert line == make_acquisition(header=header)


def test_samples_are_counted_in_single_precision(remove, make_acquisition):
    """384 samples over 200 mm cropped to 133.333333 mm are 256, as the stock gadget has it, not 255."""
    header = {"matrix": (256, 32, 1), "fov": (133.333333, 128.0, 5.0), "oversampling": 200 / 133.333333}
    (out,) = remove(make_acquisition(n_samples=384), **header)
    assert out.number_of_samples == 256


def test_nothing_to_remove_passes_the_line_itself(remove, make_acquisition):
    """No oversampling, no transform."""
    line = make_acquisition(n_samples=64)
    assert remove(line, oversampling=1)[0] is line


def test_line_uses_its_own_encoding(minimal_scan, make_acquisition):
    """An EPI scan with a separate reference scan has two readouts; the stock gadget crops both as the first."""
    scan, other = minimal_scan(), minimal_scan(oversampling=1)
    scan = type(scan)(scan.xml, scan.header, (scan.encodings[0], other.encodings[0]), scan.noise_bandwidth)
    gadget = RemoveROOversampling()
    gadget.open(scan)
    lines = [make_acquisition(n_samples=128, header={"encoding_space_ref": index}) for index in (0, 1)]
    assert [line.number_of_samples for line in gadget.process(lines)] == [64, 128]


def test_oversampling_that_is_gone_already_is_not_removed_again(remove, make_acquisition):
    """The header still tells of it; the lines have the samples of the image."""
    line = make_acquisition(n_samples=64)
    assert remove(line)[0] is line


def test_noise_readouts_are_cropped_like_lines(remove, make_acquisition):
    """As in the stock gadget, which does not look at the flag."""
    (out,) = remove(make_acquisition(flags=[NOISE]))
    assert out.number_of_samples == 64


@pytest.mark.parametrize(("n_samples", "oversampling", "spacing"), [(128, 2, 2), (96, 1.5, 1.5)])
def test_trajectory_is_thinned_with_the_samples(n_samples, oversampling, spacing, remove, make_acquisition):
    """Each sample left keeps its place in k-space: the spacing grows by the oversampling, the centre stays."""
    along = np.arange(n_samples) - n_samples // 2
    trajectory = np.stack([along, -2 * along], axis=1).astype(np.float32)
    (out,) = remove(make_acquisition(n_samples=n_samples, trajectory=trajectory), oversampling=oversampling)
    expected = spacing * (np.arange(64) - 32)
    np.testing.assert_allclose(out.traj, np.stack([expected, -2 * expected], axis=1), atol=1e-4)


def test_larger_image_than_measured_is_refused(remove):
    """There is nothing outside the measured field of view."""
    with pytest.raises(PipelineError, match="encoding 0 measures 128 mm along the readout, but reconstructs 256 mm"):
        remove(oversampling=0.5)


@pytest.mark.parametrize(("center", "before", "after"), [(24, 40, 0), (64, 0, 40), (30, 34, 6)])
def test_short_echo_is_filled_where_samples_are_missing(center, before, after, adjust, make_acquisition):
    """The echo at sample `center` of 88 comes to the middle of 128; zeros in front, behind, or on both sides."""
    data = np.arange(1, 89) * np.ones((2, 1))
    line = make_acquisition(data, header={"center_sample": center})
    out = adjust(line)
    assert np.array_equal(out.data, np.pad(data, ((0, 0), (before, after))))
    assert (out.number_of_samples, out.center_sample) == (128, 64)
    assert (out.discard_pre, out.discard_post) == (before, after)
    assert line == make_acquisition(data, header={"center_sample": center})


def test_samples_already_discarded_stay_so(adjust, make_acquisition):
    """What the scanner marked as unusable lies behind the filled zeros."""
    out = adjust(make_acquisition(n_samples=88, header={"center_sample": 24, "discard_pre": 3, "discard_post": 2}))
    assert (out.discard_pre, out.discard_post) == (43, 2)


def test_echo_that_cannot_reach_the_middle_keeps_an_honest_centre(adjust, make_acquisition):
    """An echo at 80 of 100 is behind the middle of 128 already: zeros go behind, the centre is said to be at 80."""
    out = adjust(make_acquisition(n_samples=100, header={"center_sample": 80}))
    assert (out.number_of_samples, out.center_sample, out.discard_post) == (128, 80, 28)


@pytest.mark.parametrize(
    ("n_samples", "center", "flags"), [(88, 44, ()), (128, 40, ()), (88, 24, (NOISE,)), (88, 88, ())]
)
def test_full_or_symmetric_echoes_and_noise_pass(n_samples, center, flags, adjust, make_acquisition):
    """There is no side on which samples are missing."""
    line = make_acquisition(n_samples=n_samples, flags=flags, header={"center_sample": center})
    assert adjust(line) is line


def test_trajectory_goes_on_straight(adjust, make_acquisition):
    """The filled samples lie where the readout would have begun."""
    trajectory = np.arange(-24, 64, dtype=np.float32)[:, None]
    out = adjust(make_acquisition(n_samples=88, trajectory=trajectory, header={"center_sample": 24}))
    assert np.array_equal(out.traj[:, 0], np.arange(-64, 64))


def test_a_line_of_no_encoding_passes(remove, adjust, make_acquisition):
    """The buffer behind sets it aside: here it would end the scan without an image."""
    line = make_acquisition(n_samples=100, header={"center_sample": 30, "encoding_space_ref": 7})
    assert remove(line) == [line]
    assert adjust(line) is line
