"""A line that was lost comes back from its neighbours."""

import pytest
import torch

from kband_core.fourier import resize
from kband_core.mending import amplified_lines, mend_calibration, mend_lines
from kband_core.phantom import coil_kspace, complex_noise, head_phantom, loop_coils
from tests.laws import nmse


def head(rng):
    kspace = coil_kspace(head_phantom(), loop_coils(8, object_phase=1.0), (96, 80), oversampling=1)
    return kspace + complex_noise(torch.eye(8) * 0.02**2, (96, 80), rng)


def only(n_lines, *lines):
    broken = torch.zeros(n_lines, dtype=torch.bool)
    broken[list(lines)] = True
    return broken


@pytest.mark.parametrize(("spacing", "row", "most"), [(1, 48, 0.01), (1, 60, 0.05), (2, 48, 0.4), (3, 48, 0.5)])
def test_a_broken_line_is_made_from_those_beside_it(rng, spacing, row, most):
    """The further apart they are the less coils know of one another."""
    kspace = head(rng)
    spoiled = kspace.clone()
    spoiled[:, row] = 1e6
    acs = resize(kspace, [24], [-2])
    mended = mend_lines(spoiled, only(96, row), spacing, acs)
    assert nmse(mended[:, row], kspace[:, row]) < most
    others = ~only(96, row)
    assert torch.equal(mended[:, others], kspace[:, others])


def test_calibration_lines_mend_one_another(rng):
    """The centre, and one far from it."""
    acs = resize(head(rng), [24], [-2])
    spoiled = acs.clone()
    spoiled[:, [12, 20]] *= -1
    mended = mend_calibration(spoiled, only(24, 12, 20))
    assert nmse(mended, acs) < 0.01


def test_a_line_at_the_edge_is_made_from_one_side(rng):
    """It has no other; and no line is an error."""
    kspace = head(rng)
    acs = resize(kspace, [24], [-2])
    assert mend_lines(kspace, only(96, 0), 1, acs).isfinite().all()
    assert torch.equal(mend_lines(kspace, only(96), 1, acs), kspace)


def test_too_few_sound_lines_are_refused(rng):
    """Every other one broken: no two are neighbours."""
    with pytest.raises(ValueError, match="1 calibration line of 80 samples, 3 of 5 needed"):
        mend_calibration(resize(head(rng), [24], [-2]), torch.arange(24) % 2 == 0)


def test_an_amplified_centre_is_found(rng):
    """Ten times as strong, it is a hundred times what the lines beside it predict, in energy."""
    acs = resize(head(rng), [24], [-2])
    assert amplified_lines(acs) == []
    acs[:, 12] *= 10
    assert amplified_lines(acs) == [12]
