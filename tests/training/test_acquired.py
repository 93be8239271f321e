"""What was acquired of a plane decides whether lines may be left out of it, and whether its image is a reference."""

from dataclasses import dataclass

import pytest
import torch

from kband_core.bands import band_mask
from kband_core.sampling import Grid
from kband_core.training.acquired import Acquired

SHAPE = (40, 30)
ROWS, COLUMNS = torch.arange(40)[:, None], torch.arange(30)


@dataclass(frozen=True)
class Case:
    """A mask, and what is true of it."""

    mask: torch.Tensor
    is_gapless: bool
    has_reference: bool
    acceleration: float


CASES = {
    "all": Case(ROWS >= 0, True, True, 1),
    "padding of lines": Case((ROWS >= 3) & (ROWS < 36), True, True, 40 / 33),
    "padding of the readout": Case((ROWS >= 0) & (COLUMNS >= 2) & (COLUMNS < 28), True, True, 1),
    "padding of both": Case((ROWS >= 3) & (ROWS < 36) & (COLUMNS >= 2) & (COLUMNS < 28), True, True, 40 / 33),
    "partial Fourier, 3/4": Case(ROWS >= 10, True, False, 40 / 30),
    "partial echo": Case((ROWS >= 0) & (COLUMNS >= 6), True, False, 1),
    "R=2 and a centre": Case((ROWS % 2 == 0) | ((ROWS - 20).abs() < 5), False, False, 40 / 24),
    "one line lost": Case(ROWS != 11, False, False, 40 / 39),
    "corners lost": Case(((ROWS - 20) / 20) ** 2 + ((COLUMNS - 15) / 15) ** 2 < 1, False, False, 1200 / 923),
    "nothing": Case(ROWS < 0, False, False, 40),
}


@pytest.mark.parametrize("name", CASES)
def test_what_masks_say(name):
    """Zeros at both ends are padding and blur an image evenly; gaps are undersampling; a missing end blurs a phase."""
    case = CASES[name]
    acquired = Acquired(Grid(case.mask), SHAPE)
    assert acquired.is_gapless == case.is_gapless
    assert acquired.has_reference == case.has_reference
    assert acquired.sampling.acceleration() == pytest.approx(case.acceleration)


@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0])
def test_a_band_has_lines_but_no_reference(angle):
    """Of a fully sampled scan a band lacks no line, at whatever angle; its image lacks resolution, so is no truth."""
    band = band_mask(SHAPE, 3, angle)
    whole = Acquired(Grid(band), SHAPE, (3.0, angle))
    assert whole.is_gapless
    assert not whole.has_reference
    assert whole.full_extent().sampling.mask.all()
    every_second = Acquired(Grid(band & (ROWS % 2 == 0)), SHAPE, (3.0, angle))
    assert not every_second.is_gapless
    crossed = band.any(-1, keepdim=True)
    assert torch.equal(every_second.full_extent().sampling.mask, ~crossed | (ROWS % 2 == 0))
