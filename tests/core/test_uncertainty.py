"""How large errors will be: the loss that teaches it, the table that corrects it, the bound that holds."""

import math

import pytest
import torch

from kband_core.model_card import Card, write_card
from kband_core.models import load_card
from kband_core.plain_yaml import read_yaml
from kband_core.sampling import Grid
from kband_core.shot_angles import nyquist_spokes
from kband_core.shots import Shots, even_weight
from kband_core.trajectories import spokes
from kband_core.uncertainty.conformal import conformal_quantile
from kband_core.uncertainty.laplace import laplace_loss, positive
from kband_core.uncertainty.missing_energy import missing_energy
from kband_core.uncertainty.reliability import Reliability, reliability


def laplace(n, scale, *, seed=0):
    """Draw errors whose mean magnitude is `scale`."""
    uniform = torch.rand(n, generator=torch.Generator().manual_seed(seed)) - 0.5
    return -scale * uniform.sign() * (1 - 2 * uniform.abs()).clamp(min=1e-6).log()


def test_the_loss_is_least_where_the_scale_is_the_mean_error():
    """Else a network that follows it would say something else."""
    error = laplace(20_000, 0.3)
    raw = torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.Adam([raw], 0.05)
    for _ in range(300):
        optimiser.zero_grad()
        laplace_loss(error, positive(raw, 1e-3).expand_as(error)).backward()
        optimiser.step()
    assert positive(raw, 1e-3).item() == pytest.approx(float(error.abs().mean()), rel=0.01)


def test_the_loss_does_not_broadcast():
    """As published it held every example's error against every other's scale."""
    with pytest.raises(ValueError, match=r"errors \(2, 3, 4\) but scales \(2, 1, 3, 4\)"):
        laplace_loss(torch.ones(2, 3, 4), torch.ones(2, 1, 3, 4))


def test_calibrated_scales_are_the_mean_error_of_their_bin():
    """Too small by two where they are small, too large by two where they are large."""
    predicted = torch.linspace(0.1, 1, 30_000)
    error = laplace(30_000, predicted * torch.where(predicted < 0.55, 2, 0.5))
    table = reliability(predicted, error, 6)
    assert table.slopes == pytest.approx([2, 2, 2, 0.5, 0.5, 0.5], rel=0.05)
    again = reliability(table.calibrated(predicted), error, 6)
    assert again.slopes == pytest.approx([1] * 6, rel=0.06)


@pytest.mark.parametrize(
    ("edges", "slopes", "why"),
    [((1.0,), (1.0,), "1 slopes, 2 expected"), ((2.0, 1.0), (1.0, 1.0, 1.0), "do not rise"), ((), (0.0,), "above 0")],
)
def test_a_table_that_is_none_is_refused(edges, slopes, why):
    """A card may be written by hand."""
    with pytest.raises(ValueError, match=why):
        Reliability(edges, slopes)


def test_a_card_keeps_the_table():
    """As it was fitted; and cards without one stay what they were."""
    card = load_card("simulated_radial").model_copy(update={"reliability": {}, "uncertainty": None})
    written = write_card(card)
    assert b"reliability" not in written
    assert b"uncertainty" not in written
    assert Card.model_validate(read_yaml(written)) == card
    table = Reliability((0.1, 0.2), (1.5, 1.0, 0.75))
    again = Card.model_validate(read_yaml(write_card(card.model_copy(update={"reliability": {"R2*": table}}))))
    assert again.reliability == {"R2*": table}


def test_the_bound_holds_as_often_as_it_says():
    """Nine scores of ten promise the tenth: over many draws, 90 % of the time, neither less nor much more."""
    scores = torch.randn(4000, 30, generator=torch.Generator().manual_seed(0)).exp()
    holds = [float(row[-1]) <= conformal_quantile(row[:-1], 0.9) for row in scores]
    assert sum(holds) / len(holds) == pytest.approx(0.9, abs=0.015)


@pytest.mark.parametrize(("n", "level", "least"), [(8, 0.9, 9), (18, 0.95, 19)])
def test_too_few_scores_promise_nothing(n, level, least):
    """The largest of eight would hold only eight times of nine."""
    with pytest.raises(ValueError, match=f"{n} scores are too few for a level of {level}; {least} needed"):
        conformal_quantile(torch.arange(float(n)), level)
    assert conformal_quantile(torch.arange(float(least)), level) == least - 1


def test_energy_of_lines_left_out_is_told_by_those_nearby():
    """Every third line of a spectrum that falls off: two thirds of the signal are missing, and of the noise."""
    rng = torch.Generator().manual_seed(0)
    n, noise = 96, 0.05
    fall = 1 / (1 + (torch.arange(n) - n // 2).abs() / 8)
    kspace = (fall[:, None] + noise) * torch.randn(2, 4, n, 64, dtype=torch.complex64, generator=rng)
    mask = (torch.arange(n) % 3 == 0)[None, :, None]
    signal, of_noise = missing_energy(kspace * mask, Grid(mask), (n, 64), torch.full((2,), noise))[0]
    assert float(signal + of_noise) == pytest.approx(2 / 3, rel=0.1)
    whole = (fall + noise).square().sum()
    assert float(of_noise) == pytest.approx(float(2 / 3 * n * noise**2 / whole), rel=0.1)


@pytest.mark.parametrize("kept", [1, 2, 4])
def test_energy_between_spokes_grows_with_their_distance(kept):
    """Of 1/f of the spokes that Nyquist asks for, and a flat spectrum, (1 - 1/f)² is missing."""
    angles = math.pi * torch.arange(0, nyquist_spokes((64, 64)), kept, dtype=torch.float64) / nyquist_spokes((64, 64))
    coords = spokes(angles, 128)[None]
    weight = even_weight(coords)
    kspace = weight.unsqueeze(1).to(torch.complex64)
    signal, _ = missing_energy(kspace, Shots(coords, weight), (64, 64), torch.zeros(1))[0]
    assert float(signal) == pytest.approx((1 - 1 / kept) ** 2, abs=0.04)
