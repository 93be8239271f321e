"""Scans of random objects are scans all the same."""

import pytest
import torch

from kband_core.coils import combine
from kband_core.fourier import to_image
from kband_core.scaling import plane_scale
from kband_core.training import scans as scans_module
from kband_core.training.recipe import ProceduralRecipe
from kband_core.training.scans import EndlessScans, ProceduralScans
from kband_core.training.simulation.dead_leaves import dead_leaves
from kband_core.training.simulation.procedural import procedural_plane
from kband_core.training.simulation.random_heads import clouds
from kband_core.training.simulation.random_objects import random_object

QUIET = (1e-4, 1e-4)


def plane(seed, shape=(64, 57), **options):
    return procedural_plane(shape, n_coils=6, rng=torch.Generator().manual_seed(seed), **options)


@pytest.mark.parametrize("objects", ["cartoon", "textured"])
@pytest.mark.parametrize("seed", range(6))
def test_a_scan_is_explained_by_its_maps(seed, objects):
    """Maps come from 16 lines or more and end where the object ends: half a per cent of the energy is left over."""
    scan = plane(seed, noise=QUIET, objects=objects)
    coil_image = to_image(scan.kspace)
    explained = (scan.csm * combine(coil_image, scan.csm).unsqueeze(-3))[0]
    assert (coil_image - explained).norm() ** 2 < 0.005 * coil_image.norm() ** 2


@pytest.mark.parametrize("objects", ["cartoon", "textured"])
@pytest.mark.parametrize("seed", range(6))
def test_an_object_has_the_brightness_of_one(seed, objects):
    """The 95th percentile of the magnitude is 1 before noise and truncation; the low-resolution scale blurs it."""
    assert 0.4 < float(plane_scale(plane(seed, noise=QUIET, objects=objects).kspace)) < 1.3


def test_the_seed_is_the_scan():
    """Or a resumed training would see other scans."""
    assert torch.equal(plane(3).kspace, plane(3).kspace)
    assert not torch.equal(plane(3).kspace, plane(4).kspace)


def test_noise_is_as_asked_for():
    """The same object twice, once nearly without noise: 64·57·6 samples tell the SD within 1 %."""
    difference = plane(5, noise=(0.1, 0.1)).kspace - plane(5, noise=(1e-9, 1e-9)).kspace
    assert float(difference.abs().square().mean().sqrt()) == pytest.approx(0.1, rel=0.01)


def test_an_endless_scan_is_met_again_under_other_lines():
    """Twice within 32 steps here, never later; what is drawn for it, its lines, is new."""
    scans = EndlessScans(ProceduralRecipe(matrix=(40, 40), coils=(4, 4), uses=2), seed=0)
    drawn = [scans.draw(step, 0, 1) for step in (0, 1, 16, 32)]
    planes = [plane.kspace for plane, _, _ in drawn]
    assert [torch.equal(planes[0], kspace) for kspace in planes] == [True, False, True, False]
    assert drawn[0][1].initial_seed() != drawn[2][1].initial_seed()
    assert drawn[0][2] == drawn[2][2]  # the angle of a band belongs to the scan


def test_large_batches_meet_their_scans_again(monkeypatch):
    """Made once, however many a step has."""
    made, simulated = [], scans_module._simulated
    monkeypatch.setattr(scans_module, "_simulated", lambda *told: made.append(told) or simulated(*told))
    scans = EndlessScans(ProceduralRecipe(matrix=(24, 24), coils=(2, 2), uses=2), seed=7)
    for step in (0, 1, 15, 16, 17, 31):
        for place in range(12):
            scans.draw(step, place, 12)
    assert len(made) == 3 * 12


def test_sides_are_those_that_transform_quickly():
    """Both ends among them; of a range without any, every side is drawn."""

    def drawn(*matrix):
        recipe = ProceduralRecipe(matrix=matrix, coils=(2, 2))
        return {side for shape in ProceduralScans(recipe, 200, seed=0, run=1).shapes for side in shape[1:]}

    assert drawn(24, 33) == {24, 25, 27, 28, 30, 32}
    assert drawn(37, 39) == {37, 38, 39}


def test_leaves_cover_everything(rng):
    """Later leaves lie on top, and nothing is brighter than their gradients make it."""
    leaves = dead_leaves((60, 80), rng)
    assert leaves.shape == (60, 80)
    assert 0 <= float(leaves.min()) < float(leaves.max()) <= 1.2


def test_what_is_textured_varies_from_pixel_to_pixel():
    """In a cartoon pixels differ from their neighbours at borders only: in most places much less than on average."""

    def typical_step(objects):
        images = [random_object((48, 48), torch.Generator().manual_seed(seed), objects=objects) for seed in range(20)]
        steps = [image.diff(dim=0).abs()[image[1:] > 0.05] for image in images]
        return sum(float(step.median() / step.mean()) for step in steps) / len(steps)

    assert typical_step("cartoon") < 0.5 * typical_step("textured")


def test_a_recipe_names_its_objects():
    """What is drawn is what the recipe says, without end or not."""
    cartoon, textured = (
        ProceduralRecipe(matrix=(40, 40), coils=(4, 4), objects=objects) for objects in ("cartoon", "textured")
    )
    endless = [EndlessScans(recipe, seed=0).draw(0, 0, 1)[0].kspace for recipe in (cartoon, textured)]
    counted = [ProceduralScans(recipe, 1, seed=0, run=1)[0].kspace for recipe in (cartoon, textured)]
    assert not torch.equal(*endless)
    assert not torch.equal(*counted)


def test_a_third_of_both_kinds_are_cartoons():
    """As they would be of that kind alone, drawn by the generator where it then is."""

    def drawn(seed, objects, *, behind_a_choice):
        rng = torch.Generator().manual_seed(seed)
        if behind_a_choice:
            torch.rand((), generator=rng)
        return random_object((24, 24), rng, objects=objects)

    def kinds_like(seed):
        found = drawn(seed, "both", behind_a_choice=False)
        alone = {kind: drawn(seed, kind, behind_a_choice=True) for kind in ("cartoon", "textured")}
        return [kind for kind, image in alone.items() if torch.equal(image, found)]

    kinds = [kinds_like(seed) for seed in range(60)]
    assert all(kinds)  # sharp leaves are of either kind
    assert 10 <= kinds.count(["cartoon"]) <= 30


def test_clouds_have_steps_and_gradations():
    """Levels lie between 0 and 1, and over some skies neighbours differ much more at a few borders than elsewhere."""
    skies = [clouds((64, 80), torch.Generator().manual_seed(seed)) for seed in range(10)]
    assert all(sky.shape == (64, 80) and 0 <= float(sky.min()) < float(sky.max()) <= 1 for sky in skies)
    steps = [sky.diff(dim=0).abs() for sky in skies]
    abrupt = [float(step.quantile(0.99) / step.mean()) for step in steps]
    assert min(abrupt) < 5 < 8 < max(abrupt)
