"""PKT: what it predicts before training, what turning an object does to it, and what predicted spokes are good for."""

import pytest
import torch

from kband_core.networks import build
from kband_core.networks.pkt import half_ramp, projected
from kband_core.networks.spoke_attention import SpokeBlock
from kband_core.operators import encoding_operator
from kband_core.projections import to_projections
from kband_core.sampling import Grid
from kband_core.shots import Shots, even_weight
from kband_core.training.scans import generator
from kband_core.training.simulation.procedural_shots import procedural_spokes

pytest.importorskip("finufft")
SMALL = {"channels": 8, "heads": 2, "hidden": 8, "layers": 1}
NOISE = torch.tensor([0.03])


@pytest.fixture(scope="module")
def scan():
    """Every fifth spoke of a simulated scan of 32²: weighted samples and their operator; the image of all spokes."""
    plane = procedural_spokes((32, 32), n_coils=4, rng=generator("pkt"), noise=(0.002, 0.003))
    coords = plane.trajectory.coords
    every = Shots(coords[None], even_weight(coords)[None])
    some = Shots(coords[None, ::5], even_weight(coords[::5])[None])
    operators = [encoding_operator(shots, plane.csm[None]) for shots in (some, every)]
    kspace = [shots.weight[:, None] * plane.kspace[None][..., at, :] for shots, at in
              ((some, slice(None, None, 5)), (every, slice(None)))]  # fmt: skip
    whole, _ = build("pkt", **SMALL).start(kspace[1], operators[1])
    return kspace[0], operators[0], whole


def test_untrained_it_predicts_what_the_start_has(scan):
    """Its residual begins with zero: training begins with the spokes of CG-SENSE."""
    network = build("pkt", **SMALL)
    with torch.no_grad():
        start, _ = network.start(*scan[:2])
        ((wanted, samples),), _ = network.predictions(*scan[:2], NOISE)
    found = to_projections(samples * half_ramp(wanted), wanted)
    theirs = projected(start[0, 0], wanted)
    assert float((found[0] - theirs).norm() / theirs.norm()) < 0.05  # ripples at the end of the band


def test_true_spokes_bring_the_image_near_the_truth(scan):
    """What a better prediction is worth: half the error at least (measured: 0.067 to 0.150)."""

    class Knowing(type(build("pkt", **SMALL))):
        def predict(self, image, measured, wanted, noise):
            return projected(scan[2][0, 0], wanted)

    with torch.no_grad():
        images = [network(*scan[:2], NOISE) for network in (build("pkt", **SMALL), Knowing(**SMALL, weight=1.0))]
    errors = [float((image - scan[2]).norm() / scan[2].norm()) for image in images]
    assert errors[1] < errors[0] / 2


def test_spokes_hear_one_another_by_the_angle_between_them():
    """An object that is turned is completed as it was before."""
    torch.manual_seed(0)
    block = SpokeBlock(8, 2, 8, 3)
    tokens, angle, others, at = torch.randn(3, 8, 6), torch.rand(3), torch.randn(5, 8, 6), torch.rand(5)
    with torch.no_grad():
        turned = block(tokens, angle + 0.7, others, at + 0.7)
        torch.testing.assert_close(block(tokens, angle, others, at), turned, atol=1e-4, rtol=1e-4)
        assert (block(tokens, angle + 0.7, others, at) - turned).abs().max() > 1e-3


def test_lines_of_a_grid_are_refused(scan):
    """One sentence."""
    operator = encoding_operator(Grid(torch.ones(1, 32, 1, dtype=torch.bool)), torch.ones(1, 1, 4, 32, 32) + 0j)
    with pytest.raises(ValueError, match=r"^pkt: samples lie on a grid; spokes expected$"):
        build("pkt", **SMALL)(torch.ones(1, 4, 32, 32) + 0j, operator, NOISE)


def test_settings_out_of_range_are_named():
    """In a recipe."""
    with pytest.raises(ValueError, match=r"^pkt: layers is 0, 1 to 16 expected$"):
        build("pkt", layers=0)
