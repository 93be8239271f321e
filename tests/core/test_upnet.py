"""Maps by a network before training: what the echoes say, whatever their number, and nothing of the scanner's."""

import math
from dataclasses import replace

import pytest
import torch

from kband_core.networks import build
from kband_core.relaxometry.learned import start_of, water_fat_network
from kband_core.relaxometry.projection import SliceEchoes, project, stepped, synthesised
from kband_core.relaxometry.water_fat import water_fat
from kband_core.uncertainty.reliability import Reliability
from tests.core.test_relaxometry import EVEN, ODD, THREE, body, echoes_of

NAMES = "water", "fat", "r2star", "b0"


@pytest.fixture(scope="module")
def network():
    """A small network whose σ is not even, and whose maps are those of the echoes."""
    torch.manual_seed(0)
    return build("upnet", channels=[4, 4, 4]).eval()


def clean(times, field_t=3.0, n=12):
    """Echoes of a body without noise, and its maps `(1, y, x)`."""
    truth = body(n, field_t, 0.2)
    maps = [truth[name][None] / (100 if name in ("water", "fat") else 1) for name in NAMES]
    empty = SliceEchoes.of([(torch.zeros(len(times), n, n, dtype=torch.complex64), times, field_t)])
    return replace(empty, signal=synthesised(empty, *maps)), maps, truth["inside"]


@pytest.mark.parametrize(("times", "field_t"), [(EVEN, 3.0), (ODD, 3.0), (THREE, 3.0), (EVEN, 1.5)])
def test_the_projection_finds_what_made_the_echoes(times, field_t):
    """At the true decay and field nothing is left and no step is wanted; from 40/s and 20 Hz beside three lead back."""
    echoes, (water, fat, r2star, b0), inside = clean(times, field_t)
    found = project(echoes, r2star, b0)
    assert (found.water - water)[0, inside].abs().max() < 1e-3
    assert (found.fat - fat)[0, inside].abs().max() < 1e-3
    assert found.left.max() < 1e-4
    assert found.step_r2star[0, inside].abs().max() < 0.1
    back_r2star, back_b0 = stepped(echoes, r2star + 40, b0 + 20, 3)
    assert (back_r2star - r2star)[0, inside].abs().max() < 0.5
    assert (back_b0 - b0)[0, inside].abs().max() < 0.1


def test_slices_of_different_echoes_are_put_together():
    """Those with fewer are as they are alone."""
    three, (_, _, r2star, b0), _ = clean(THREE)
    six, _, _ = clean(EVEN)
    both = SliceEchoes.of([(three.signal[0], THREE, 3.0), (six.signal[0], EVEN, 3.0)])
    together = project(both, *(torch.cat((one + 5, one)) for one in (r2star, b0)))
    alone = project(three, r2star + 5, b0 + 5)
    for name in ("water", "fat", "step_b0", "sd_r2star", "sd_amplitude", "left"):
        assert torch.allclose(getattr(together, name)[0], getattr(alone, name)[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("times", "n"), [(EVEN, 32), (THREE, 27)])
def test_an_untrained_network_says_what_the_echoes_say(network, times, n):
    """Any number of echoes, any size: its maps are those that it was told, so training begins with those of the fit."""
    echoes = echoes_of(body(n, 3.0, 0.3), times, 3.0)
    start = start_of(echoes, times, 3.0)
    with torch.no_grad():
        mapped = network(start.echoes, start.noise, start.r2star, start.b0)
    inside = body(n, 3.0, 0.3)["inside"]
    assert mapped.sigma.shape == (1, 3, n, n)
    assert torch.allclose(mapped.b0[0, inside], start.b0[0, inside], atol=0.01)
    fit = water_fat(echoes, times, 3.0)
    assert (mapped.pdff()[0] - fit.pdff)[inside].abs().median() < 0.3


def test_neither_phase_nor_brightness_nor_an_even_field_changes_the_maps(network):
    """They are the scanner's, not the body's."""
    echoes = echoes_of(body(24, 3.0, 0.2), EVEN, 3.0)
    seconds = torch.tensor(EVEN)[:, None, None] * 1e-3
    moved = 7 * echoes * torch.exp(1j * (2 * math.pi * 10 * seconds + 1.0))
    here, there = (water_fat_network(one, EVEN, 3.0, network, {}) for one in (echoes, moved))
    inside = body(24, 3.0, 0.2)["inside"]
    assert torch.allclose(there.pdff[inside], here.pdff[inside], atol=0.1)
    assert torch.allclose(there.b0[inside], here.b0[inside] + 10, atol=0.1)
    assert torch.allclose(there.sd_pdff[inside], here.sd_pdff[inside], rtol=0.02)
    assert torch.allclose(there.water.abs()[inside], 7 * here.water.abs()[inside], rtol=0.01, atol=0.1)


def test_the_table_of_the_card_corrects_what_a_network_expects(network):
    """Twice the error came as it had said."""
    echoes = echoes_of(body(16, 3.0, 0.2), EVEN, 3.0)
    plain = water_fat_network(echoes, EVEN, 3.0, network, {})
    corrected = water_fat_network(echoes, EVEN, 3.0, network, {"R2*": Reliability((), (2.0,))})
    assert torch.allclose(corrected.sd_r2star, 2 * plain.sd_r2star)
    assert torch.equal(corrected.sd_b0, plain.sd_b0)


def test_where_a_large_error_is_expected_the_map_is_unsure(network):
    """Of the body nothing is, by the untrained network; of a table that says 100 times as much all is."""
    echoes = echoes_of(body(24, 3.0, 0.2), EVEN, 3.0)
    inside = body(24, 3.0, 0.2)["inside"]
    sure, unsure = (
        water_fat_network(echoes, EVEN, 3.0, network, {"PDFF": table}).unsure[inside].float().mean()
        for table in (Reliability((), (1.0,)), Reliability((), (100.0,)))
    )
    assert sure < 0.1 < 0.9 < unsure


def test_echoes_that_cannot_tell_are_refused_alike(network):
    """One sentence, that of the fit."""
    with pytest.raises(ValueError, match=r"^2 echo times \(2.38, 4.76\), at least 3 needed"):
        water_fat_network(torch.ones(2, 8, 8, dtype=torch.complex64), [2.38, 4.76], 1.5, network, {})


def test_a_network_has_three_widths():
    """One sentence before any training."""
    with pytest.raises(ValueError, match=r"^upnet: channels 8, 8, three of 1 to 256 expected$"):
        build("upnet", channels=[8, 8])
