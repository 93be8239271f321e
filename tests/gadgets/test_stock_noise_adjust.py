"""NoiseAdjust, the twin of NoiseAdjustGadget."""

import logging

import numpy as np
import pytest

from gadgets.errors import PipelineError, ScanError
from gadgets.items import Aside
from gadgets.stock import NoiseAdjust

NOISE, CALIBRATION, CALIBRATION_AND_IMAGING, NAVIGATION, PHASE_CORRECTION = 19, 20, 21, 23, 24
MIXING = np.array([[3, 0, 0], [1 + 1j, 2, 0], [0, 1j, 5]])


@pytest.fixture
def run(minimal_scan):
    def run(lines, bandwidth=0.5, **properties):
        gadget = NoiseAdjust.from_properties(properties)
        gadget.open(minimal_scan(noise_bandwidth=bandwidth))
        return list(gadget.process(lines))

    return run


@pytest.fixture
def noise_line(make_acquisition, noise):
    def make(n_coils=3, n_samples=256, seed=0, dwell_us=5.0):
        data = MIXING[:n_coils, :n_coils] @ noise(n_coils, n_samples, seed=seed)
        return make_acquisition(data, flags=[NOISE], header={"sample_time_us": dwell_us})

    return make


def test_noise_of_the_lines_becomes_white_with_unit_sd(run, noise_line, make_acquisition, noise):
    """SD 1 per component after whitening (40 readouts and 20,000 samples: ±4 %), for twice the noise dwell time.

    A line sampled at twice the dwell has a noise power of 1/(2·bandwidth) of the noise readout's.
    """
    bandwidth = 0.793
    lines = [noise_line(seed=seed) for seed in range(40)]
    data = MIXING @ noise(3, 20_000, seed=99) / np.sqrt(2 * bandwidth)
    (white,) = run([*lines, make_acquisition(data, header={"sample_time_us": 10.0})], bandwidth)
    parts = np.concatenate([white.data.real, white.data.imag])
    np.testing.assert_allclose(np.cov(parts), np.eye(6), atol=0.04)


@pytest.mark.parametrize(
    ("dwell_us", "noise_dwell_us", "scale"), [(5, 5, 1), (20, 5, 2), (5, 20, 0.5), (0, 5, 1), (20, 0, 1)]
)
def test_scale_follows_the_dwell_times(dwell_us, noise_dwell_us, scale, run, noise_line, make_acquisition):
    """√(2·dwell/noise dwell·0.5) times the whitening by NumPy's own Cholesky; 1 where a dwell time is missing."""
    readout = noise_line(dwell_us=noise_dwell_us)
    data = np.eye(3, 8)
    (line,) = run([readout, make_acquisition(data, header={"sample_time_us": dwell_us})])
    samples = readout.data.astype(complex)
    factor = np.linalg.cholesky(samples @ samples.conj().T / (256 - 1))
    np.testing.assert_allclose(line.data, scale * np.linalg.inv(factor) @ data, rtol=1e-5, atol=1e-6)


def test_bandwidth_defaults_to_that_of_the_stock(run, noise_line, make_acquisition):
    """0.793 where the header does not say."""
    lines = [noise_line(), make_acquisition(np.ones((3, 8)))]
    np.testing.assert_allclose(run(lines, None)[0].data, run(lines, 0.793)[0].data)


def test_noise_readouts_accumulate_and_end_here(run, noise_line, make_acquisition):
    """Two readouts whiten as one of twice the length; none of them goes on, even after the first image line."""
    first, second = noise_line(seed=1), noise_line(seed=2)
    both = make_acquisition(np.concatenate([first.data, second.data], axis=1), flags=[NOISE])
    image = make_acquisition(np.ones((3, 8)))
    late = noise_line(seed=3)
    out = run([first, second, image, late, image])
    assert len(out) == 2
    np.testing.assert_allclose(out[0].data, run([both, image])[0].data, rtol=1e-5)
    assert np.array_equal(out[0].data, out[1].data)


def test_one_scale_for_lines_of_all_dwell_times(run, noise_line, make_acquisition):
    """Lines of two dwell times keep their relation, as in the stock gadget: the first image line sets the scale.

    A navigator in front of it does not.
    """
    slow, fast = (make_acquisition(np.ones((3, 8)), header={"sample_time_us": dwell}) for dwell in (20.0, 5.0))
    navigator = make_acquisition(np.ones((3, 8)), flags=[NAVIGATION], header={"sample_time_us": 1.0})
    _, first, second = run([noise_line(), navigator, slow, fast])
    assert np.array_equal(first.data, second.data)
    np.testing.assert_allclose(first.data, run([noise_line(), slow])[0].data)


@pytest.mark.parametrize("flag", [CALIBRATION, CALIBRATION_AND_IMAGING, PHASE_CORRECTION])
def test_calibration_and_phase_correction_are_whitened_too(flag, run, noise_line, make_acquisition):
    """Maps from unwhitened calibration lines would not fit whitened image lines."""
    flagged, plain = make_acquisition(np.ones((3, 8)), flags=[flag]), make_acquisition(np.ones((3, 8)))
    first, second = run([noise_line(), flagged, plain])
    assert np.array_equal(first.data, second.data)


def test_without_noise_lines_pass_unchanged_with_one_warning(run, make_acquisition, caplog):
    """Unwhitened data are usable; that they are unwhitened must be known, once."""
    lines = [make_acquisition(np.ones((3, 8))) for _ in range(3)]
    with caplog.at_level(logging.WARNING):
        assert run(lines) == lines
    assert [record.message for record in caplog.records] == [
        "NoiseAdjustGadget: no noise before the first image line; lines pass unwhitened"
    ]


def test_switched_off_it_still_swallows_noise(run, noise_line, make_acquisition, caplog):
    """perform_noise_adjust=false: nothing is whitened, noise readouts still end here, and that is no surprise."""
    line = make_acquisition(np.ones((3, 8)))
    assert run([noise_line(), line], perform_noise_adjust="false") == [line]
    assert not caplog.records


def test_non_finite_noise_readout_is_set_aside_and_named(run, noise_line, make_acquisition):
    """One spoiled readout must not turn the whole scan into NaN."""
    good, spoiled, image = noise_line(), noise_line(seed=1), make_acquisition(np.ones((3, 8)))
    spoiled.data[1, 7] = np.nan
    aside, line = run([good, spoiled, image])
    assert np.array_equal(line.data, run([good, image])[0].data)
    assert isinstance(aside, Aside)
    assert "noise readout in line 1 set aside" in aside.sentence


@pytest.mark.parametrize("flags", [(), (CALIBRATION,), (CALIBRATION_AND_IMAGING,)])
def test_image_line_with_other_coils_is_an_error(flags, run, noise_line, make_acquisition):
    """An image half whitened has two noise levels."""
    lines = [noise_line(), make_acquisition(np.ones((2, 8)), flags=flags)]
    with pytest.raises(ScanError, match=r"^NoiseAdjustGadget: line 1 has 2 coils, the noise scan had 3$"):
        run(lines)


def test_navigator_with_other_coils_passes_unwhitened(run, noise_line, make_acquisition):
    """Navigators may be read with a coil of their own; pass_nonconformant_data=false refuses them too."""
    navigator = make_acquisition(np.ones((1, 8)), flags=[NAVIGATION])
    lines = [noise_line(), navigator, make_acquisition(np.ones((3, 8)))]
    assert run(lines)[0] == navigator
    with pytest.raises(ScanError, match="line 1 has 1 coil,"):
        run(lines, pass_nonconformant_data="false")


def test_unusable_noise_is_an_error(run, noise_line, make_acquisition):
    """Noise that cannot whiten ends the scan with the reason; it must not pass as an unwhitened one."""
    same, image = noise_line(), make_acquisition(np.ones((3, 8)))
    same.data[2] = same.data[1]
    with pytest.raises(ScanError, match=r"^NoiseAdjustGadget: noise covariance of 3 coils is singular: coil 2"):
        run([same, image])
    with pytest.raises(ScanError, match="noise readout in line 1 has 2 coils, the one before had 3"):
        run([noise_line(), noise_line(n_coils=2), image])
    with pytest.raises(ScanError, match="noise has 1 sample,"):
        run([noise_line(n_samples=1), image])


def received(lines, scan):
    """What leaves, and the sentence with which the scan ends."""
    gadget, items = NoiseAdjust(), []
    gadget.open(scan)
    with pytest.raises(ScanError) as error:
        items.extend(gadget.process(lines))
    return items, str(error.value)


def test_a_coil_without_noise_is_left_out_and_said(minimal_scan, noise_line, make_acquisition):
    """A plug that was pulled ends no scan: warned of before the first line, named at the end, the coil zero."""
    dead, image = noise_line(), make_acquisition(np.ones((3, 8)))
    dead.data[2] = 0
    (aside, line), sentence = received([dead, image], minimal_scan())
    assert aside.sentence == sentence == "NoiseAdjustGadget: no noise came from coil 2; left out of all images"
    assert not line.data[2].any()
    assert line.data[:2].all()


@pytest.mark.parametrize(("spoil", "reason"), [(0.0, "hold no noise"), (30.0, "hold an echo")])
def test_noise_that_is_none_whitens_nothing(minimal_scan, noise_line, make_acquisition, spoil, reason):
    """An echo as strong as the image's would take the object for noise: the head would disappear."""
    readout, image = noise_line(n_samples=128), make_acquisition(np.ones((3, 8)))
    if spoil:
        readout.data[:, 60:68] += spoil
    else:
        readout.data[:] = 0
    (aside, line), sentence = received([readout, image], minimal_scan())
    assert sentence == f"NoiseAdjustGadget: the noise readouts {reason}; lines pass unwhitened"
    assert isinstance(aside, Aside)
    assert line == image


def test_zero_noise_bandwidth_is_refused(minimal_scan):
    """A bandwidth of 0 would make every image black."""
    with pytest.raises(PipelineError, match=r"relativeReceiverNoiseBandwidth is 0.0, expected above 0"):
        NoiseAdjust().open(minimal_scan(noise_bandwidth=0.0))


def test_input_lines_stay_as_they_were(run, noise_line, make_acquisition):
    """The journal writes the lines as they came, perhaps later."""
    line = make_acquisition(np.ones((3, 8)))
    (out,) = run([noise_line(), line])
    assert line == make_acquisition(np.ones((3, 8)))
    assert out.getHead() == line.getHead()
