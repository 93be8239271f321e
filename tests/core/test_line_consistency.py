"""Lines that do not fit together are told, by line, coil and sample; clean ones never are."""

import pytest
import torch

from kband_core.calibration import coil_maps
from kband_core.consistency import DOUBLED, contradicting_lines, doubled_share, learn_windows, misfit
from kband_core.fourier import resize, to_image, to_kspace
from kband_core.patterns import equispaced_lines
from kband_core.phantom import Ellipse, Phantom, coil_kspace, complex_noise, head_phantom, loop_coils

SHAPE = (96, 80)
SIGMA = 0.028  # of a sample: SNR 40


def head(rng, fov=1.0, n_coils=8, sigma=SIGMA, phantom=None):
    """K-space in units of noise."""
    coils = loop_coils(n_coils, object_phase=1.0)
    clean = coil_kspace(phantom or head_phantom(), coils, SHAPE, fov=(fov, 1.0), oversampling=1)
    return (clean + complex_noise(torch.eye(n_coils) * sigma**2 / 2, SHAPE, rng)) / sigma


def judged(kspace, acceleration, acs=None, n_lines=24):
    law = learn_windows(resize(kspace if acs is None else acs, [n_lines], [-2]), acceleration)
    return misfit(law, kspace, equispaced_lines(96, acceleration).lines())


@pytest.mark.parametrize("acceleration", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("fov", "sigma", "n_lines"), [(1, SIGMA, 24), (1, SIGMA, 18), (0.8, SIGMA, 24), (1, 0.003, 24), (1, 0.5, 24)]
)
def test_clean_lines_are_consistent(rng, acceleration, fov, sigma, n_lines):
    """At any noise, in a field of view that wraps, from 18 calibration lines on."""
    assert judged(head(rng, fov, sigma=sigma), acceleration, n_lines=n_lines).is_consistent


@pytest.mark.parametrize("acceleration", [1, 3])
def test_a_spike_is_found_in_its_line_coil_and_sample(rng, acceleration):
    """A hundred times noise: as high as its line's own signal."""
    kspace = head(rng)
    kspace[5, 78, 33] += 100
    found = judged(kspace, acceleration)
    assert not found.is_consistent
    assert (found.line, found.coil, found.sample) == (78, 5, 33)


@pytest.mark.parametrize("factor", [-1, 1j])
def test_a_line_of_another_gain_or_phase_is_inconsistent(rng, factor):
    """Just outside the calibration lines, where all are acquired."""
    kspace = head(rng)
    kspace[:, 61] *= factor
    found = judged(kspace, 1)
    assert not found.is_consistent
    assert abs(found.line - 61) <= 1


def test_calibration_of_something_else_is_inconsistent(rng):
    """A reference scan whose saturation band covers half of the head; one of a disc."""
    kspace = head(rng)
    band = to_image(kspace) * torch.sigmoid((torch.arange(96) - 55) / 2.0)[:, None]
    disc = head(rng, phantom=Phantom((Ellipse(1.0, 0.2, 0.2, 0.1, 0.0),)))
    for acs in (to_kspace(band) + head(rng, sigma=1e6), disc):
        assert not judged(kspace, 2, acs=acs).is_consistent


def test_calibration_of_the_same_coils_is_consistent(rng):
    """Another scan of the head, with other noise."""
    assert judged(head(rng), 2, acs=head(rng)).is_consistent


@pytest.mark.parametrize(
    ("n_coils", "n_lines", "why"),
    [(8, 12, "12 calibration lines at R=2, at least 14"), (1, 24, "directions of windows of 1 coil ")],
)
def test_too_little_to_judge_by_is_said(rng, n_coils, n_lines, why):
    """Few lines, or coils that leave nothing empty."""
    with pytest.raises(ValueError, match=why):
        judged(head(rng, n_coils=n_coils), 2, n_lines=n_lines)


def doubled(kspace):
    return doubled_share(coil_maps(resize(kspace, [24], [-2]), SHAPE).csm)


@pytest.mark.parametrize("fov", [1.0, 0.8, 0.65])
def test_calibration_lines_of_a_head_fit_together(rng, fov):
    """Also where it wraps."""
    assert doubled(head(rng, fov)) < DOUBLED / 2


def shifted(kspace):
    kspace[:, 1::2] = kspace[:, 1::2].roll(1, -1)


def negated(kspace):
    kspace[:, 48] *= -1


def dropped(kspace):
    for line in (42, 45, 50, 54):
        kspace[:, line, 20:] = kspace[:, line, :-20].clone()


def moved(kspace):
    rows = torch.arange(1, 96, 2)
    kspace[:, 1::2] *= torch.exp(2j * torch.pi * 3 * (rows - 48) / 96)[:, None]


def amplified(kspace):
    kspace[2, 48:] *= 4


@pytest.mark.parametrize("spoil", [shifted, negated, dropped, moved, amplified])
def test_calibration_lines_that_contradict_one_another_are_told(rng, spoil):
    """Odd lines a sample late, the centre negated, samples lost in four lines, a head that moves, a coil that jumps."""
    kspace = head(rng)
    spoil(kspace)
    assert doubled(kspace) > DOUBLED


@pytest.mark.parametrize("factor", [-1, 1j])
@pytest.mark.parametrize("line", [12, 15])
def test_a_calibration_line_that_fits_to_no_other_is_found(rng, line, factor):
    """The centre of k-space, or three lines beside it: of the wrong sign, or turned."""
    acs = resize(head(rng), [24], [-2])
    assert contradicting_lines(acs) == []
    acs[:, line] *= factor
    assert contradicting_lines(acs) == [line]


@pytest.mark.parametrize(("fov", "sigma"), [(0.7, SIGMA), (1, 0.5), (1, 0.003)])
def test_clean_calibration_lines_do_not_contradict(rng, fov, sigma):
    """A head that wraps, noise as strong as the brain, or hardly any."""
    assert contradicting_lines(resize(head(rng, fov, sigma=sigma), [24], [-2])) == []


def test_a_few_lines_contradict_nobody(rng):
    """Of one line, or of six, nothing can be told."""
    for n_lines in (1, 6):
        assert contradicting_lines(resize(head(rng), [n_lines], [-2])) == []
