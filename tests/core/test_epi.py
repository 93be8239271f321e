"""Echo-planar readouts: positions, gridding, the phase between both ways of reading, and the ghost."""

import pytest
import torch

from kband_core.epi.entropy import entropy_phase
from kband_core.epi.ghost import filled, ghost_level, object_mask
from kband_core.epi.phase import NO_PHASE, EchoPhase, navigator_phase
from kband_core.epi.readout import Trapezoid
from kband_core.epi.regridding import regridding_operator
from kband_core.fourier import resize, to_image, to_kspace
from kband_core.phantom import Ellipse, Phantom

N = 48
X = torch.arange(N, dtype=torch.float64) - N // 2
RAMPS = Trapezoid(160, 240, 160, 3.1, 160)


def numeric_positions(trapezoid, fine=200):
    """The same by adding up the gradient in fine steps, which knows no formula of areas."""
    n = trapezoid.n_samples * fine
    times = trapezoid.delay + (torch.arange(n, dtype=torch.float64) + 0.5) * trapezoid.dwell / fine
    rise = times / max(trapezoid.ramp_up, 1e-9)
    fall = (trapezoid.duration - times) / max(trapezoid.ramp_down, 1e-9)
    area = torch.cat([torch.zeros(1), torch.minimum(rise, fall).clamp(max=1).cumsum(0)])
    return (area[fine // 2 :: fine] - area[-1] / 2) / area[-1]


def echoes_of(image, phase, is_positive):
    """Echoes along x of an image `(coil, y, x)`, with a phase that correction should take away."""
    along_x = to_kspace(image, (-2,)).movedim(0, 1)
    return along_x / phase.factors(is_positive, torch.arange(len(along_x)), image.shape[-1])


def head(n_coils=3):
    """An ellipse and a hole in it, off the centre, seen by coils of different phase."""
    phantom = Phantom((Ellipse(1.0, 0.3, 0.35, 0.03, -0.05), Ellipse(-0.7, 0.1, 0.15, 0.0, 0.1)))
    weights = torch.polar(torch.tensor([1.0, 0.7, 0.4]), torch.tensor([0.0, 1.0, 2.0]))
    return phantom.image((N, N))[None] * weights[:n_coils, None, None]


@pytest.mark.parametrize("trapezoid", [RAMPS, Trapezoid(190, 160, 190, 3.5, 136), Trapezoid(210, 240, 210, 4, 60)])
def test_positions_are_the_area_under_the_gradient(trapezoid):
    """Rectangles 200 times finer than a dwell time are off by less than 1e-5 of the extent."""
    torch.testing.assert_close(trapezoid.positions(), numeric_positions(trapezoid), atol=1e-5, rtol=0)


def test_a_flat_top_is_equidistant():
    """Without ramps the k of sample n is that of any Cartesian line, half a sample from its edge."""
    expected = (torch.arange(60, dtype=torch.float64) + 0.5) / 60 - 0.5
    torch.testing.assert_close(Trapezoid(0, 240, 0, 4, 60).positions(), expected)
    torch.testing.assert_close(Trapezoid(210, 240, 210, 4, 60).positions(), expected)


def test_a_reversed_readout_is_the_same_in_reverse():
    """Samples are taken in the middle of the gradient: turning the line round is exact."""
    torch.testing.assert_close(RAMPS.positions(), -RAMPS.positions().flip(0))


@pytest.mark.parametrize(
    ("times", "sentence"),
    [
        ((-1, 240, 160, 3.1, 160), "positive times expected"),
        ((0, 0, 0, 3.1, 160), "positive times expected"),
        ((160, 240, 160, 3.1, 1), "1 samples of 3.1 us, at least 2"),
        ((160, 240, 160, 6.2, 160), "160 samples of 6.2 us take 992 us, but the gradient lasts 560 us"),
    ],
)
def test_times_that_cannot_be_are_refused(times, sentence):
    """A header that says so would give any positions at all."""
    with pytest.raises(ValueError, match=sentence):
        Trapezoid(*times)


def test_gridding_of_equidistant_samples_is_the_transform():
    """On samples of a Cartesian line it crops to the field of view, as an orthonormal transform and a crop do."""
    k = (torch.arange(2 * N, dtype=torch.float64) - N) / 2
    line = torch.randn(2 * N, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    expected = resize(to_image(line, (-1,)), [N], (-1,))
    torch.testing.assert_close(regridding_operator(k, N, 1.0) @ line, expected, atol=2e-5, rtol=0)


def test_gridding_keeps_the_noise():
    """Every pixel is a sum of samples of norm 1: whitened lines stay so."""
    operator = regridding_operator(RAMPS.positions() * N, N, 1.0)
    torch.testing.assert_close(operator.abs().square().sum(1), torch.ones(N))


def test_a_profile_read_on_ramps_is_that_of_the_object():
    """The bar's k-space by formula at the true positions; 3 % in the middle are Gibbs ringing of 48 pixels."""
    k = RAMPS.positions() * N
    bar = torch.special.sinc(k * 0.5) * 0.5  # half the field of view wide, height 1
    profile = (regridding_operator(k, N, 1.0) @ bar.to(torch.complex64)).abs() * torch.gradient(k)[0].norm()
    assert (profile[X.abs() < N / 4 - 4] - 1).abs().max() < 0.03
    assert profile[X.abs() > N / 4 + 4].max() < 0.05


@pytest.mark.parametrize("per_coil", [True, False])
@pytest.mark.parametrize("n_navigators", [3, 4, 20])
def test_navigators_tell_slope_offset_and_drift(n_navigators, per_coil):
    """Without noise they are exact, even where the phase wraps along x (1.5 samples of shift)."""
    slopes = torch.tensor([0.196, 0.2, 0.19] if per_coil else [0.196] * 3, dtype=torch.float64)
    truth = EchoPhase(slopes, torch.tensor([0.3, 0.3, 0.1] if per_coil else [0.3] * 3), 0.07)
    profile = head().sum(-2)
    is_positive = torch.arange(n_navigators) % 2 == 1
    read = profile[None] / truth.factors(is_positive, torch.arange(n_navigators), N)
    found = navigator_phase(read, is_positive, per_coil=per_coil)
    n = 3 if per_coil else 1
    torch.testing.assert_close(found.slope, truth.slope[:n], atol=1e-4, rtol=0)
    torch.testing.assert_close(found.offset.float(), truth.offset[:n], atol=1e-4, rtol=0)
    assert found.drift == pytest.approx(0.07, abs=1e-5)


def test_two_navigators_tell_no_drift():
    """What lies between two echoes is the phase between both ways, and the drift: one equation."""
    profile = head().sum(-2)
    found = navigator_phase(torch.stack([profile, profile]), torch.tensor([True, False]), per_coil=True)
    assert found.drift is None


def test_navigators_of_one_way_tell_nothing():
    """One echo, or two read the same way, as where the one between got lost."""
    profile = head().sum(-2)
    assert navigator_phase(profile[None], torch.tensor([True]), per_coil=True) is None
    assert navigator_phase(torch.stack([profile] * 2), torch.tensor([True, True]), per_coil=True) is None


@pytest.mark.parametrize("offset", [0.2, -1.3])
@pytest.mark.parametrize("shift", [0.0, 0.4, 1.5, -2.4])
def test_entropy_finds_the_phase_from_nothing(shift, offset):
    """Shifts by several samples, as real trains without a reference have; to 2 % of a sample."""
    slope = 2 * torch.pi * shift / N
    is_positive = torch.arange(N) % 2 == 0
    wrong = EchoPhase(torch.tensor([slope]), torch.tensor([offset]))
    echoes = echoes_of(head(), wrong, is_positive)
    ways = [to_image((echoes * (is_positive == way)[:, None, None]).movedim(0, 1), (-2,)) for way in (True, False)]
    found = entropy_phase(*ways, everywhere=True)
    assert found == (pytest.approx(slope, abs=0.02 * 2 * torch.pi / N), pytest.approx(offset, abs=0.02))


def test_correction_undoes_the_phase():
    """What navigators find is what takes the ghost away."""
    is_positive = torch.arange(N) % 2 == 0
    phase = EchoPhase(torch.tensor([0.1, 0.2, 0.0]), torch.tensor([0.5, 0.4, 0.3]), 0.05)
    echoes = echoes_of(head(), phase, is_positive) * phase.factors(is_positive, torch.arange(N), N)
    torch.testing.assert_close(to_image(echoes.movedim(0, 1), (-2,)), head(), atol=1e-5, rtol=0)


def test_no_phase_changes_nothing():
    """So that "none" is none."""
    factors = NO_PHASE.factors(torch.tensor([True, False]), torch.arange(2), N)
    torch.testing.assert_close(factors, torch.ones_like(factors))


@pytest.mark.parametrize("ghost", [0.0, 0.05, 0.2])
def test_the_ghost_level_is_that_of_the_ghost(ghost):
    """An object, its ghost half a field of view away, and a background of noise, which does not count (±0.01).

    The place of the ghost has a margin of a pixel, in which there is less of it (10 %).
    """
    sharp = Phantom((Ellipse(1.0, 0.2, 0.3),)).image((N, N))
    noise = 0.02 * torch.randn(N, N, generator=torch.Generator().manual_seed(0))
    image = (sharp + ghost * sharp.roll(N // 2, 0) + noise).abs()
    assert ghost_level(image, object_mask(sharp)) == pytest.approx(ghost, rel=0.1, abs=0.01)


def test_a_ghost_that_lies_in_the_object_has_no_level():
    """Where the object fills the field of view nothing tells the two apart."""
    assert ghost_level(torch.ones(N, N), torch.ones(N, N, dtype=torch.bool)) is None


def test_holes_are_filled_and_bays_are_not():
    """Dark fluid inside belongs to the object; the air outside it does not."""
    ring = torch.zeros(9, 9, dtype=torch.bool)
    ring[2:7, 2:7], ring[3:6, 3:6] = True, False
    expected = ring.clone()
    expected[3:6, 3:6] = True
    assert torch.equal(filled(ring), expected)
    ring[4, 6] = False
    assert torch.equal(filled(ring), ring)
