"""The network that ships for maps of water and fat, on what it was not trained on."""

import os
from pathlib import Path

import pytest
import torch

from kband_core.models import load_card, load_model
from kband_core.relaxometry.learned import water_fat_network
from kband_core.relaxometry.water_fat import water_fat
from kband_core.training.simulation.procedural_echoes import echo_scan
from kband_core.training.water_fat.material import FIRST

NAME = "simulated_waterfat"


def by_network(echoes, times, field_t):
    card = load_card(NAME)
    return water_fat_network(echoes, times, field_t, load_model(card), card.reliability)


def test_it_mends_what_streaks_and_noise_spoil():
    """Of spokes at a third of Nyquist with noise: R2* at least a fifth nearer than that of the fit, the others no
    farther."""
    pytest.importorskip("finufft")
    rng = torch.Generator().manual_seed(FIRST["judged"])
    one = echo_scan((64, 64), rng=rng, sampling="spokes", acceleration=(3, 3), noise=(0.02, 0.02))
    truth, total = one.truth, one.truth.water.abs() + one.truth.fat.abs()
    inside = total > 0.1 * total.max()
    right = {"pdff": 100 * truth.fat.abs() / total.clamp(min=1e-9), "r2star": truth.r2star, "b0": truth.b0}
    fit, network = (make(one.echoes, one.times_ms, one.field_t) for make in (water_fat, by_network))
    ours, theirs = (
        {name: float((getattr(maps, name) - values)[inside].abs().mean()) for name, values in right.items()}
        for maps in (network, fit)
    )
    assert ours["r2star"] < 0.8 * theirs["r2star"]
    assert ours["pdff"] < theirs["pdff"]
    assert ours["b0"] < theirs["b0"]
    expected = float(network.sd_pdff[inside].mean()) / 2**0.5
    assert 0.6 < expected / ours["pdff"] < 1.6


def test_the_air_does_not_shine():
    """Noise that decays fast, drawn back to t = 0, would be the brightest of the image."""
    noise = torch.randn(6, 48, 48, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    echoes = noise.clone()
    echoes[:, 16:32, 16:32] += 100
    maps = by_network(echoes, [1.23 * n for n in range(1, 7)], 3.0)
    air = torch.ones(48, 48, dtype=torch.bool)
    air[12:36, 12:36] = False
    assert maps.unsure[air].float().mean() > 0.95
    assert maps.water.abs()[air].quantile(0.99) < 10


@pytest.mark.skipif("KBAND_DATA" not in os.environ, reason="needs KBAND_DATA")
def test_real_water_and_fat_keep_their_places():
    """Where the fit of 8 real echoes is sure, the network has no other, but one pixel in 1,000 that bears a flag."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(Path(os.environ["KBAND_DATA"]) / "waterfat_09.h5") as file:
        echoes, times = torch.from_numpy(file["image"][()])[:, 64:192, 64:192], 1e3 * file["te_s"][()]
    fit, network = (make(echoes, times.tolist(), 1.5) for make in (water_fat, by_network))
    swapped = ((fit.pdff - network.pdff).abs() > 50) & ~fit.unsure
    assert float((swapped & ~network.unsure).float().mean()) == 0
    assert float(swapped.float().mean()) < 0.001
