"""A network that learns from the scan it is for: only a copy, only if held-out lines gain, and never from these."""

import math

import pytest
import torch
from torch import nn

from kband_core.adaptation import learner
from kband_core.adaptation.adapting import adapt
from kband_core.adaptation.held_out import hold_out
from kband_core.adaptation.stopping import StoppingRule
from kband_core.calibration import espirit_maps
from kband_core.fourier import resize
from kband_core.networks import build
from kband_core.noise import noise_level
from kband_core.patterns import equispaced_lines
from kband_core.phantom import coil_kspace, complex_noise, head_phantom, loop_coils
from kband_core.sampling import Grid
from tests.tiny_models import CONFIG

ROWS, COLUMNS, ACS = 48, 40, 18


@pytest.fixture(scope="module")
def scan() -> tuple:
    """Every second line of a head, with its maps and the SD of its noise."""
    rng = torch.Generator().manual_seed(0)
    kspace = coil_kspace(head_phantom(), loop_coils(4), (ROWS, COLUMNS), oversampling=1)
    kspace = kspace + complex_noise(1e-4 * torch.eye(4), (ROWS, COLUMNS), rng)
    sampling = Grid(equispaced_lines(ROWS, 2, acs_lines=ACS).mask[None])
    csm = espirit_maps(resize(kspace, [ACS], dims=[-2]), (ROWS, COLUMNS))
    kspace = kspace[None] * sampling.mask
    return kspace, sampling, csm[None], noise_level(kspace, sampling.mask)


@pytest.fixture
def model() -> nn.Module:
    """An untrained network, which adds structure of its own that any scan can unlearn."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = build("modl", **CONFIG).eval().requires_grad_(False)
        nn.init.normal_(made.denoisers[0].tail.weight, std=0.1)
    return made


def weights(model: nn.Module) -> torch.Tensor:
    return nn.utils.parameters_to_vector(model.parameters()).clone()


def adapted(model, scan, **options):
    return adapt(model, *scan, rng=torch.Generator().manual_seed(0), **options)


def test_what_a_scan_teaches_makes_held_out_lines_gain(model, scan, monkeypatch):
    """Also where nobody wants derivatives; who called finds that as it was. Untrained, 15 steps gain 13 %."""
    monkeypatch.setattr(learner, "RATE", 0.01)
    with torch.no_grad():
        made = adapted(model, scan, steps=15)
        assert not torch.is_grad_enabled()
    assert made.after < 0.95 * made.before
    assert made.steps == 15
    assert not any(parameter.requires_grad for parameter in made.model.parameters())


def test_the_model_that_came_never_changes(model, scan):
    """It serves all scans of this process."""
    before = weights(model)
    made = adapted(model, scan, steps=10)
    assert torch.equal(weights(model), before)
    assert not torch.equal(weights(made.model), before)


def test_without_a_gain_the_very_model_comes_back(model, scan, monkeypatch):
    """Who learns nothing changes nothing, and three looks suffice to see that."""
    monkeypatch.setattr(learner, "RATE", 0.0)
    made = adapted(model, scan)
    assert made.model is model
    assert (made.steps, made.tried, made.gain) == (0, 15, 0.0)


def test_what_diverges_stands_back(model, scan, monkeypatch):
    """NaN is no network."""
    monkeypatch.setattr(learner, "RATE", math.inf)
    made = adapted(model, scan)
    assert made.model is model
    assert (made.steps, made.tried) == (0, 5)


def test_same_seed_same_network(model, scan):
    """A budget of steps is the same on every machine."""
    first, second = (weights(adapted(model, scan, steps=5).model) for _ in range(2))
    assert torch.equal(first, second)


def test_time_that_is_over_ends_it(model, scan):
    """At the step it ends in, which is judged like any other."""
    made = adapted(model, scan, seconds=0.0)
    assert made.tried == 1


def test_lines_that_judge_teach_nothing():
    """Else they would praise what was learnt by heart; and the centre, which scale and noise are told from, stays."""
    sampling = Grid(equispaced_lines(64, 3, acs_lines=24).mask[None])
    held_out = hold_out(sampling, 8, rng=torch.Generator().manual_seed(0))
    taught = torch.stack(held_out.predicted).any(0)
    assert not (taught & held_out.judging).any()
    drawn = (taught | held_out.judging).flatten()
    assert not drawn[24:40].any()
    assert not (drawn & ~sampling.lines()).any()
    assert len({tuple(lines.flatten().tolist()) for lines in held_out.predicted}) == 8


def test_too_few_lines_teach_nothing():
    """Of three lines beyond the centre none can be spared."""
    mask = torch.zeros(1, 64, 1, dtype=torch.bool)
    mask[0, 24:43] = True
    with pytest.raises(ValueError, match=r"^3 lines beyond the central 16, 8 needed to learn from$"):
        hold_out(Grid(mask), 8, rng=torch.Generator())


@pytest.mark.parametrize(("name", "config"), [("modl", {**CONFIG, "unrolls": 2}), ("unet", {"channels": 4})])
def test_a_network_without_a_last_denoiser_of_its_own_cannot_adapt(name, config, scan):
    """Shared, it would change what the unrolls before it have done already."""
    with pytest.raises(ValueError, match="only a network of kind modl adapts"):
        adapted(build(name, **config), scan)


def test_less_than_one_percent_is_no_gain():
    """Chance gives as much."""
    rule = StoppingRule(1.0)
    assert rule.look(5, 0.991)
    assert not rule.has_gained
    assert rule.look(10, 0.99)
    assert rule.has_gained


def test_three_looks_without_a_gain_end_it():
    """The least of all looks stays."""
    rule = StoppingRule(1.0)
    seen = [(rule.look(step, error), rule.is_over) for step, error in ((5, 0.8), (10, 0.9), (15, 0.81), (20, 0.8))]
    assert seen == [(True, False), (False, False), (False, False), (False, True)]
    assert (rule.step, rule.least) == (5, 0.8)
