"""K-band of spirals: a sector is adjacent interleaves, wound up; what is seen, what judges, and that it is unbiased."""

import functools
from itertools import pairwise

import pytest
import torch

from kband_core.models import load_card
from kband_core.training.batches import stack
from kband_core.training.scans import generator
from kband_core.training.simulation.procedural_shots import procedural_spirals
from kband_core.training.supervision import build_supervision
from kband_core.training.trainer import train
from tests.training.tiny import tiny_recipe

pytest.importorskip("finufft")
N, N_INTERLEAVES = 24, 12
DRAWN = {"spoke_acceleration": 3, "order": "even"}


@functools.cache
def plane():
    """12 interleaves of a random object."""
    return procedural_spirals((N, N), n_coils=2, rng=generator(0, "spirals"))


def example(name, angle=0.0, **options):
    return build_supervision(name, **DRAWN, **options)(plane(), generator(0, "example"), angle)


def which(weight):
    return weight.any(-1).nonzero().flatten().tolist()


def test_simulated_interleaves_are_those_of_nyquist():
    """No fewer: the image of all is the reference."""
    assert plane().acquired.acceleration == 1
    assert plane().acquired.has_reference


def test_a_sector_is_interleaves_side_by_side():
    """90° of a whole turn: 3 of 12, one behind the other, and four times their weight in all."""
    one = example("sectors", angle=0.3, band_acceleration=4)
    first = which(one.weight)[0]
    neighbours = [sorted((start + step) % N_INTERLEAVES for step in range(3)) for start in range(N_INTERLEAVES)]
    assert which(one.weight) in neighbours
    assert set(which(one.sampling.weight)) <= set(which(one.weight))
    assert torch.equal(one.weight[first], 4 * example("spokes").weight[first])


def test_interleaves_of_a_scan_lie_apart():
    """A third of them, every third: what a network sees at work."""
    seen = which(example("spokes").sampling.weight)
    assert len(seen) == 4
    assert {later - sooner for sooner, later in pairwise(seen)} <= {2, 3, 4}


def test_sectors_of_interleaves_are_unbiased():
    """Over all angles, drawn from half a turn as for spokes, the mean gradient is that of all: 1e-4 is rounding."""
    image = torch.randn(1, 1, N, N, dtype=torch.complex64, generator=generator(1))

    def gradient(name, angle=0.0, **options):
        one, x = stack([example(name, angle, **options)]), image.clone().requires_grad_()
        supervise = build_supervision(name, **DRAWN, **options)
        supervise.loss(x, one.target_operator(), one.target, one.weight).backward()
        return x.grad

    full = gradient("spokes")
    angles = [180 * (n + 0.1) / N_INTERLEAVES for n in range(N_INTERLEAVES)]
    sectors = [gradient("sectors", angle, band_acceleration=4, decoupled=True) for angle in angles]
    assert float((torch.stack(sectors).mean(0) - full).norm() / full.norm()) < 1e-4
    assert float((sectors[0] - full).norm() / full.norm()) > 0.5


def test_a_network_learns_along_spirals_and_its_card_says_so(tmp_path, monkeypatch):
    """It has never seen a spoke."""
    recipe = tiny_recipe(data={"procedural": {"matrix": [24, 27], "coils": [2, 3], "trajectory": "spiral"}})
    supervision = {"name": "sectors", "spoke_acceleration": [2, 3]}
    outcome = train(recipe.changed(supervision=supervision), tmp_path, n_workers=0)
    monkeypatch.setenv("KBAND_MODELS", str(tmp_path))
    card = load_card("tiny")
    assert outcome.figures["psnr"] > 0
    assert card.limits.sampling == ("shots",)
    assert card.label == "k-band tiny"
    assert card.mismatch(sampling="spokes") == ["undersampled by spokes, tiny has seen shots"]
