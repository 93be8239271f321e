"""Figures that choose a model are finite, or there is a sentence."""

from dataclasses import replace

import pytest
import torch

from kband_core.training.processes import Processes
from kband_core.training.simulation.procedural import procedural_plane
from kband_core.training.validation import Validation
from tests.training.tiny import tiny_recipe

ALONE = Processes(0, 1, torch.device("cpu"))


@pytest.fixture(scope="module")
def planes():
    """Three heads, the second without maps, as a slice of air has none."""
    rng = torch.Generator().manual_seed(0)
    made = [procedural_plane((32, 33), n_coils=2, rng=rng) for _ in range(3)]
    made[1] = replace(made[1], csm=torch.zeros_like(made[1].csm))
    return made


def judged(planes, indices, network):
    recipe = tiny_recipe(validation={"planes": 4})
    return Validation(recipe, planes, indices).judge(network, ALONE)


def test_a_plane_of_noise_is_not_judged(planes):
    """It has no image: in the mean it would make every figure NaN, and no model would ever be the best."""
    torch.manual_seed(0)
    network = tiny_recipe().network.build()
    figures = judged(planes, [0, 1, 2], network)
    assert figures == judged(planes, [0, 2], network)
    assert 0 < figures["psnr"] < 100
    with pytest.raises(ValueError, match="validation: the planes held out show nothing but noise"):
        judged(planes, [1], network)


def test_figures_that_are_no_numbers_are_named(planes):
    """A training would go on to its end, and leave no model."""

    def broken(kspace, operator, noise):
        return torch.full_like(operator.csm[:, :, 0], torch.nan)

    with pytest.raises(ValueError, match="validation: the mean nmse of 2 planes is nan, a finite number expected"):
        judged(planes, [0, 2], broken)


def test_a_padded_plane_is_a_reference(planes):
    """Public data are padded with zeros at both ends of k-space; a scan that lacks one is judged by its loss."""
    rows = torch.arange(32)[:, None]
    padded, cut = ((rows >= 3) & (rows < 29), rows >= 8)
    network = tiny_recipe().network.build()
    for mask, own in ((padded, {"nmse", "psnr", "ssim"}), (cut, {"validation_loss"})):
        names = own | {f"{peer}_{name}" for peer in ("sense", "zero_filled") for name in own}
        plane = replace(planes[0], kspace=planes[0].kspace * mask, mask=mask)
        assert judged([plane], [0], network).keys() == names


def test_pictures_are_of_the_plane_that_is_judged(planes):
    """Network, all samples, five-fold error, in one window, every time the same."""
    recipe = tiny_recipe(validation={"planes": 4})
    torch.manual_seed(0)
    network = recipe.network.build()
    validation = Validation(recipe, planes, [0])
    shown = validation.picture(network, ALONE.device)
    assert {picture.shape for picture in shown.values()} == {(32, 33)}
    assert all(picture.min() >= 0 and picture.max() <= 1 for picture in shown.values())
    assert (shown["all_samples"] == 1).float().mean() == pytest.approx(0.005, abs=0.002)
    unclipped = (shown["network"] < 1) & (shown["all_samples"] < 1) & (shown["error_x5"] < 1)
    error = 5 * (shown["network"] - shown["all_samples"]).abs()
    torch.testing.assert_close(error[unclipped], shown["error_x5"][unclipped])
    again = validation.picture(network, ALONE.device)
    assert all(torch.equal(again[name], picture) for name, picture in shown.items())


def test_without_a_reference_the_network_alone_is_shown(planes):
    """What was not acquired must not look like the truth."""
    mask = torch.arange(32)[:, None] >= 8
    plane = replace(planes[0], kspace=planes[0].kspace * mask, mask=mask)
    validation = Validation(tiny_recipe(validation={"planes": 4}), [plane], [0])
    assert validation.picture(tiny_recipe().network.build(), ALONE.device).keys() == {"network"}
