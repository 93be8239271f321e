"""What judges networks on real scans: fine detail, the best weight of a peer, which lines are left, and rows."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks.best_weight import best_image
from benchmarks.fine_detail import contrast_error, outer_error
from kband_core.fourier import to_image, to_kspace
from kband_core.training.simulation.random_objects import random_object

SIDE = 64


@pytest.fixture
def head() -> Tensor:
    """A textured head, four drawn points to a pixel."""
    drawn = random_object((SIDE, SIDE), torch.Generator().manual_seed(1))
    return torch.nn.functional.adaptive_avg_pool2d(drawn[None, None], SIDE)[0, 0]


@pytest.fixture
def brains(monkeypatch):
    """The program, which finds its neighbours in its own folder."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    import kband_brains

    return kband_brains


def test_the_outer_error_is_that_of_the_outer_half(head):
    """What is wrong near the centre of k-space is not its matter; an image without any detail is all wrong."""
    kspace, axis = to_kspace(head.to(torch.complex64)), (torch.arange(SIDE) - SIDE // 2) / (SIDE / 2)
    inner = torch.hypot(axis[:, None], axis) < 0.5
    blurred = to_image(kspace * inner).real
    assert outer_error(blurred, head) == pytest.approx(1, abs=1e-4)
    assert outer_error(to_image(kspace * (1 + inner)).real, head) == pytest.approx(0, abs=1e-6)


def test_what_is_flattened_has_the_wrong_contrast(head):
    """With half the texture of every window half of the contrast is wrong; brightness is no contrast."""
    within = torch.ones(SIDE, SIDE, dtype=torch.bool)
    assert contrast_error(head + 3, head, within) == pytest.approx(0, abs=1e-6)
    assert contrast_error(head / 2, head, within) == pytest.approx(0.5, abs=1e-6)


def test_contrast_is_judged_within_the_head_alone(head):
    """Whatever stands beside it, in any window that reaches out of it, does not count."""
    within = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    within[20:40, 20:40] = True
    assert contrast_error(torch.where(within, head, head + 1), head, within) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("best", [2e-4, 0.005, 0.3])
def test_the_best_weight_is_found_to_a_factor_of_2(best):
    """Near the guess or two decades away, in a dozen tries at most."""
    tried = []

    def make(weight: float) -> Tensor:
        tried.append(weight)
        return torch.tensor(math.log10(weight / best))

    image, weight = best_image(make, lambda image: float(image.square()), start=0.005)
    assert abs(math.log10(weight / best)) <= 0.151
    assert float(image) == pytest.approx(math.log10(weight / best), abs=1e-5)
    assert len(tried) <= 11


def test_of_few_lines_fewer_calibrate(brains):
    """25 of 100 lines would be 24 ACS lines and one: 16 calibrate then. 10 of 64 have no room for those either."""
    rule = brains.undersampling_of
    assert [rule(128, "lines", 4).acs_lines, rule(100, "lines", 4).acs_lines, rule(64, "lines", 6)] == [24, 16, None]


def test_a_row_left_to_sense_is_no_success_and_no_defeat(brains):
    """A card's refusal is told beside the figures; it neither ends the table nor counts in it."""
    worse, better = ({"psnr": psnr, "ssim": 0.9, "outer": 0.5, "contrast": 0.2} for psnr in (30.0, 34.0))
    rows = [
        brains.Row("t1", ("lines", 3), "t1", {"SENSE": better, "net": worse}, fallbacks)
        for fallbacks in ({}, {"net": "coils: 2, net has seen 4 to 12"})
    ]
    assert [row.lead("net") for row in rows] == [-4.0, None]
    assert brains._behind(rows[0], "net") == ["t1, lines R=3: net is behind SENSE in PSNR, 30 against 34"]
    assert brains._behind(rows[1], "net") == []
