"""Supervision along spokes: what is seen, what judges, and that sectors are unbiased."""

import functools
from dataclasses import replace

import pytest
import torch

from kband_core.models import load_card
from kband_core.networks import build
from kband_core.nufft import nufft
from kband_core.shots import shots_scale
from kband_core.training.batches import stack
from kband_core.training.dataset import PlaneFile, PlaneWriter
from kband_core.training.scans import generator
from kband_core.training.simulation.procedural import procedural_plane
from kband_core.training.simulation.procedural_shots import procedural_spokes
from kband_core.training.supervision import build_supervision, full_extent
from kband_core.training.trainer import train
from tests.training.tiny import tiny_recipe

pytest.importorskip("finufft")
N, N_COILS = 32, 3
DRAWN = {"spoke_acceleration": 4, "order": "even"}


@functools.cache
def plane():
    """51 spokes of a random object."""
    return procedural_spokes((N, N), n_coils=N_COILS, rng=generator(0, "spokes"))


def example(name, angle=20.0, seed=0, **options):
    return build_supervision(name, **{**DRAWN, **options})(plane(), generator(seed, "example"), angle)


def seen(one):
    """Which spokes the network sees."""
    return one.sampling.weight.any(-1)


def judging(one):
    """Which spokes judge."""
    return one.weight.any(-1)


@pytest.mark.parametrize("order", ["even", "golden", "mixed"])
def test_as_many_spokes_are_seen_as_the_acceleration_says(order):
    """51 over 4; golden angles may meet one spoke twice, where the plane has none between."""
    n_seen = int(seen(example("spokes", order=order)).sum())
    assert 11 <= n_seen <= 13
    assert judging(example("spokes", order=order)).all()


def test_even_spokes_lie_evenly():
    """51/13 spokes apart: 3 or 4 of the plane, and 5 where two were rounded apart."""
    gaps = torch.diff(seen(example("spokes")).nonzero().flatten())
    assert set(gaps.tolist()) <= {3, 4, 5}


def test_a_sector_is_all_that_is_seen_and_judges():
    """45° of 180°: 13 of 51 spokes, or 12; those seen are among them, and weigh four times as much as in all."""
    one, all_spokes = example("sectors", band_acceleration=4), example("spokes")
    assert int(judging(one).sum()) in (12, 13)
    assert not (seen(one) & ~judging(one)).any()
    assert torch.equal(one.weight[judging(one)], 4 * all_spokes.weight[judging(one)])


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_sectors_are_unbiased(norm):
    """Over all angles the mean gradient is that of all spokes, centre and rim alike, without a cap: 1e-4 is rounding.

    51 angles, one for each spoke; three sectors cover half a turn, so that each holds 17 spokes.
    """
    rng = generator(1, "image")
    image = torch.randn(1, 1, N, N, dtype=torch.complex64, generator=rng)

    def gradient(name, angle=0.0, **options):
        supervise = build_supervision(name, **DRAWN, norm=norm, **options)
        one, x = stack([supervise(plane(), generator(0, "example"), angle)]), image.clone().requires_grad_()
        supervise.loss(x, one.target_operator(), one.target, one.weight).backward()
        return x.grad

    full = gradient("spokes")
    angles = [180 * (n + 0.1) / 51 for n in range(51)]
    sectors = [gradient("sectors", angle, band_acceleration=3, decoupled=True) for angle in angles]
    mean = torch.stack(sectors).mean(0)
    assert float((mean - full).norm() / full.norm()) < 1e-4
    assert float((sectors[0] - full).norm() / full.norm()) > 0.5


def test_rings_never_judge_the_rim():
    """Whatever the scan, and of a radial scan it is the rim that is undersampled."""
    one = example("rings", band_acceleration=4)
    radius = plane().trajectory.coords.norm(dim=-1)
    assert not one.weight[radius > 0.251].any()
    assert not one.sampling.weight[radius > 0.251].any()
    assert one.weight[radius < 0.249].all()


def test_ssdu_judges_by_spokes_that_are_not_seen():
    """Together they are the scan, which is the same every time; the split is not."""
    one, other = example("spokes_ssdu", seed=0), example("spokes_ssdu", seed=1)
    assert not (seen(one) & judging(one)).any()
    assert torch.equal(seen(one) | judging(one), seen(other) | judging(other))
    assert not torch.equal(seen(one), seen(other))


def test_the_reference_is_the_image_of_all_spokes():
    """Gridded by the analytic density, a smooth blob comes back in its own units, up to the scale; a haze of 0.3 % of
    its height, on all pixels, is 2.6 % of its energy's root.
    """
    y, x = ((torch.arange(N) - N // 2) / 5 for _ in range(2))
    blob = torch.exp(-(y[:, None].square() + x.square())).to(torch.complex64)
    csm = torch.full((1, N_COILS, N, N), N_COILS**-0.5, dtype=torch.complex64)
    along = plane().trajectory
    scanned = replace(plane(), kspace=nufft(csm[0] * blob, along.coords), csm=csm)
    reference = stack([build_supervision("spokes", **DRAWN)(scanned, generator(0), 0.0)]).reference()[0]
    scale = shots_scale(scanned.kspace, along.coords, along.density, csm)
    assert float((reference * scale - blob.abs()).norm() / blob.norm()) < 0.04


def test_images_are_judged_by_all_spokes():
    """Validation of any way to train along spokes."""
    assert type(full_extent(build_supervision("sectors"))).__name__ == "Spokes"


def test_a_plane_on_a_grid_has_no_spokes():
    """One sentence instead of a trace."""
    flat = procedural_plane((N, N), n_coils=2, rng=generator(0))
    with pytest.raises(ValueError, match="slice 0 of subject procedural lies on a grid, and has no spokes"):
        build_supervision("sectors")(flat, generator(0), 0.0)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"order": "random"}, "order: 'random' is not one of even, golden, mixed"),
        ({"spoke_acceleration": [4, 2]}, "spoke_acceleration: 4 to 2, but at least 1 and a rising range needed"),
        ({"line_acceleration": 4}, "supervision sectors: no option 'line_acceleration'; there are spoke_"),
    ],
)
def test_options_that_there_are_not(options, sentence):
    with pytest.raises(ValueError, match=sentence.replace("[", r"\[")):
        build_supervision("sectors", **options)


def test_planes_along_spokes_come_back_from_their_file(tmp_path):
    """Places and density among them; as a whole scan, since spokes are as many as Nyquist asks for."""
    with PlaneWriter(tmp_path / "planes.h5") as writer:
        writer.append(plane())
    (back,) = PlaneFile(tmp_path / "planes.h5")
    assert torch.equal(back.kspace, plane().kspace)
    assert torch.equal(back.trajectory.coords, plane().trajectory.coords)
    assert torch.equal(back.trajectory.density, plane().trajectory.density)
    assert PlaneFile(tmp_path / "planes.h5").acquired(0).has_reference


@pytest.mark.parametrize("supervision", ["spokes", "sectors", "spokes_ssdu", "rings"])
def test_a_network_learns_along_spokes_and_its_card_says_so(supervision, tmp_path, monkeypatch):
    """A card for lines would let the network at scans that it has never seen."""
    recipe = tiny_recipe(data={"procedural": {"matrix": [32, 35], "coils": [2, 3], "trajectory": "radial"}})
    content = recipe.changed(supervision={"name": supervision, "spoke_acceleration": [3, 6]})
    outcome = train(content, tmp_path, n_workers=0)
    monkeypatch.setenv("KBAND_MODELS", str(tmp_path))
    card = load_card("tiny")
    assert outcome.figures["psnr"] > 0
    assert card.limits.sampling == ("spokes",)
    assert card.limits.acceleration == (2.7, 6.6)
    assert card.mismatch(sampling="lines") == ["undersampled by lines, tiny has seen spokes"]


def test_predicted_spokes_are_judged_by_those_not_seen():
    """An untrained PKT predicts the spokes of CG-SENSE; one that knew nothing would err by 1."""
    supervise = build_supervision("predicted_spokes", **DRAWN, judged=8)
    one = stack([example("predicted_spokes", judged=8)])
    network = build("pkt", channels=4, heads=1, hidden=4, layers=1)
    untrained = float(supervise.loss_of(network, one).detach())
    assert 0.05 < untrained < 0.6
    torch.nn.init.constant_(network.answer.bias, 5.0)
    assert float(supervise.loss_of(network, one).detach()) > 1.5 * untrained


def test_a_network_that_makes_images_predicts_no_spokes():
    """One sentence."""
    supervise = build_supervision("predicted_spokes", **DRAWN)
    with pytest.raises(ValueError, match=r"^predicted_spokes: this network predicts no spokes; pkt expected$"):
        supervise.loss_of(build("unet", channels=2, scales=1), stack([example("predicted_spokes")]))
