"""Sampling drawn for training: between the limits that the recipe gives, and split as promised."""

import sys

import pytest
import torch

from kband_core.patterns import ssdu_split
from kband_core.sampling import Grid
from kband_core.training.undersampling import Undersampling


@pytest.mark.parametrize("shape", [(40, 1), (31, 30)])
def test_ssdu_split_keeps_its_fraction_and_the_centre(shape, rng):
    """⌈0.4·acquired⌉ samples are judged by, never the central 4 lines or 4 x 4 samples, those near them most often."""
    mask = torch.rand(shape, generator=rng) < 0.7
    central = torch.zeros(shape, dtype=torch.bool)
    central[shape[0] // 2 - 2 : shape[0] // 2 + 2, max(shape[1] // 2 - 2, 0) : shape[1] // 2 + 2] = True
    inner = torch.zeros(shape, dtype=torch.bool)
    inner[shape[0] // 4 : -shape[0] // 4] = True
    often = torch.zeros(shape)
    for _ in range(100):
        seen, judged = (part.mask for part in ssdu_split(Grid(mask), rng=rng))
        often += judged
        assert torch.equal(seen ^ judged, mask)
        assert not (seen & judged).any()
        assert judged.sum() == -(-mask.sum() * 4 // 10)
    assert often[central].sum() == 0
    assert often[mask & inner & ~central].mean() > 1.5 * often[mask & ~inner].mean()


def test_ranges_are_drawn_from():
    """Accelerations and ACS lines vary between their limits; ACS lines only as far as there is room."""
    draws = [
        Undersampling(line_acceleration=(2, 6), acs_lines=(4, 40)).draw(
            (60, 50), torch.Generator().manual_seed(seed)
        ).lines()
        for seed in range(200)
    ]
    counts = torch.tensor([int(lines.sum()) for lines in draws])
    assert counts.min() in (10, 11)
    assert counts.max() in (28, 29, 30)
    assert all(lines[28:32].all() for lines in draws)
    assert len({int(lines[20:40].sum()) for lines in draws}) > 10


def test_patterns_are_those_asked_for(rng):
    """Equispaced lines have one distance outside the ACS block, variable density several, mixed has both."""

    def is_equispaced(sampling):
        lines = Undersampling(sampling=sampling, line_acceleration=2, acs_lines=8).draw((64, 48), rng).lines()
        return len(lines[:28].nonzero().flatten().diff().unique()) == 1

    assert all(is_equispaced("equispaced") for _ in range(20))
    assert not any(is_equispaced("lines") for _ in range(20))
    assert 5 < sum(is_equispaced("mixed") for _ in range(40)) < 35


def test_any_draws_all_patterns(rng, monkeypatch):
    """A third of 60 draws each; 2-D ones stand for themselves here, SigPy needs long to draw its first."""
    disc = Grid(torch.ones(24, 24, dtype=torch.bool))
    monkeypatch.setattr("kband_core.training.undersampling.poisson_disc", lambda *_, **__: disc)
    drawing = Undersampling(sampling="any", line_acceleration=2, acs_lines=4)
    masks = [drawing.draw((24, 24), rng).mask for _ in range(60)]
    by_samples = sum(mask.shape[-1] > 1 for mask in masks)
    equispaced = sum(mask.shape[-1] == 1 and int(mask[:10].sum()) == 5 for mask in masks)
    assert 8 < by_samples < 35
    assert 8 < equispaced < 45


def test_poisson_discs_without_sigpy_are_refused_at_once(monkeypatch):
    """A worker that misses it in the first step would end in a traceback."""
    monkeypatch.setitem(sys.modules, "sigpy", None)
    for sampling in ("poisson", "any"):
        with pytest.raises(ValueError, match=r"^sampling: SigPy draws 'poisson' and is missing; pip install kband\["):
            Undersampling(sampling=sampling)
    assert Undersampling(sampling="lines")


def test_poisson_discs_are_two_dimensional(rng):
    """`(ky, kx)`, net acceleration within the 5 % that is asked of SigPy."""
    pytest.importorskip("sigpy")
    mask = Undersampling(sampling="poisson", line_acceleration=4, acs_lines=(8, 12)).draw((64, 48), rng).mask
    assert mask.shape == (64, 48)
    assert mask.numel() / mask.sum() == pytest.approx(4, rel=0.06)
    assert mask[28:36, 20:28].all()


@pytest.mark.parametrize("n_lines", [43, 70, 86, 140])
def test_an_acceleration_at_its_limit_leaves_room_for_the_fewest_lines(n_lines):
    """Lowered to just what 16 ACS lines leave, it is still drawn: 43 / (43 / 15.5) comes out as 15.499999999999998."""
    undersampling = Undersampling(line_acceleration=(1, 100), acs_lines=16)
    drawn = [undersampling.draw((n_lines, 1), torch.Generator().manual_seed(seed)) for seed in range(8)]
    assert all(grid.central_lines() >= 16 for grid in drawn)
