"""Heads made of real anatomy: here of a ball in a shell, for the real files belong to other packages."""

import math
import os

import numpy as np
import pytest
import torch

from kband_core.training.material import find_material
from kband_core.training.simulation.anatomy import files
from kband_core.training.simulation.anatomy.contrasts import (
    TISSUES,
    inversion_recovery,
    random_signals,
    spoiled_gradient_echo,
)
from kband_core.training.simulation.anatomy.heads import anatomy
from kband_core.training.simulation.anatomy.lesions import with_lesions
from kband_core.training.simulation.anatomy.slices import sampled
from kband_core.training.simulation.random_objects import FINER, random_object
from tests.training.tiny import tiny_recipe

nibabel = pytest.importorskip("nibabel", reason="pip install kband[anatomy]")

SIDES = (80, 88, 82)
FIRST_MM = (-40, -48, -32)
SHIFT_MM = (-8, -9, -1)  # from the head's first voxel to the average brain's
CASES = {
    "anatomy": "simulated scans of heads made of ch2.nii.gz of unknown origin and licence (SHA-256 ",
    "mixed": "simulated scans of random objects and heads made of ch2.nii.gz of unknown origin and licence (SHA-256 ",
}


@pytest.fixture(scope="module", autouse=True)
def atlas(tmp_path_factory):
    """A folder in place of every other: a brain of white matter in a dark skull in fat; an average brain, one voxel of
    which is brighter."""
    folder = tmp_path_factory.mktemp("atlas")
    axes = [torch.arange(n) - (n - 1) / 2 for n in SIDES]
    radius = torch.stack(torch.meshgrid(*axes, indexing="ij")).norm(dim=0)
    average = torch.where(radius < 24, 160, 0)
    average[40, 44, 41] = 222
    layers = torch.where(radius < 33, 18, torch.where(radius < 40, 190, 0))
    write(folder / files.HEAD, torch.where(radius < 28, 113, layers))
    write(folder / files.BRAIN, torch.where(radius < 28, 113, 0))
    write(folder / files.AVERAGE, average, [a + b for a, b in zip(FIRST_MM, SHIFT_MM, strict=True)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "DEBIAN", folder / "nowhere")
        patch.setattr(files.importlib.util, "find_spec", lambda name: None)
        patch.setenv("KBAND_ANATOMY", str(folder))
        anatomy.cache_clear()
        yield folder
    anatomy.cache_clear()


@pytest.fixture
def first(atlas, tmp_path, monkeypatch):
    """A folder that comes before the other one."""
    monkeypatch.setenv("KBAND_ANATOMY", f"{tmp_path}{os.pathsep}{atlas}")
    anatomy.cache_clear()
    yield tmp_path
    anatomy.cache_clear()


def write(path, voxels, first_mm=FIRST_MM, step=1.0):
    affine = np.diag([step, step, step, 1.0])
    affine[:3, 3] = first_mm
    nibabel.save(nibabel.Nifti1Image(voxels.numpy().astype(np.uint8), affine), path)


def draw(seed):
    return random_object((40, 36), torch.Generator().manual_seed(seed), objects="anatomy")


def recipe(objects):
    return tiny_recipe(data={"procedural": {"matrix": [32, 35], "objects": objects}})


def test_a_slice_is_an_object():
    """Real, finite, never negative, on the finer grid, something and nothing in it; the seed tells which."""
    images = [draw(seed) for seed in range(8)]
    for image in images:
        assert image.shape == (40 * FINER, 36 * FINER)
        assert image.dtype == torch.float32
        assert image.isfinite().all()
        assert float(image.min()) == 0 < float(image.max())
    assert torch.equal(images[3], draw(3))
    assert not torch.equal(images[3], images[4])


def test_a_ramp_is_sampled_exactly():
    """Linear interpolation is exact for what is linear, up to the last voxel; beyond it there is nothing."""
    x, y, z = torch.meshgrid(torch.arange(5), torch.arange(6), torch.arange(7), indexing="ij")
    places = torch.tensor([[0.0, 1.25, 4.0, 4.1], [0.0, 2.5, 5.0, 2.0], [0.0, 5.75, 6.0, 2.0]])[..., None]
    found = sampled((3 * x + 5 * y + 7 * z).to(torch.uint8), places)[:, 0]
    torch.testing.assert_close(found, torch.tensor([0.0, 3 * 1.25 + 5 * 2.5 + 7 * 5.75, 79.0, 0.0]))


def test_the_average_brain_lies_where_its_header_says():
    """Voxel (40, 44, 41) of a file whose first voxel lies 8, 9 and 1 mm before that of the head; half as bright."""
    assert int(anatomy().average.intensity[32, 35, 40]) == 111
    assert int(anatomy().average.intensity[33, 35, 40]) == 80


def test_fluid_and_fat_are_nulled_by_their_delays():
    """After T1 ln 2 / (1 + e^(-TR/T1)) the longitudinal magnetisation passes zero: FLAIR and STIR."""
    for name in ("fluid", "fat"):
        tissue, repetition = TISSUES[name], 9000.0
        delay = tissue.t1_ms * math.log(2 / (1 + math.exp(-repetition / tissue.t1_ms)))
        assert inversion_recovery(tissue, repetition=repetition, delay=delay, echo=10) < 1e-9


def test_the_angle_of_ernst_is_the_brightest():
    """cos α = e^(-TR/T1): a degree more or less is darker."""
    tissue, repetition = TISSUES["white"], 30.0
    angle = math.acos(math.exp(-repetition / tissue.t1_ms))
    flips = [angle - math.radians(1), angle, angle + math.radians(1)]
    signals = [spoiled_gradient_echo(tissue, repetition=repetition, echo=5, flip=flip) for flip in flips]
    assert max(signals) == signals[1]


def test_contrasts_differ():
    """Grey matter is brighter than white in some sequences and darker in others; the brightest tissue has 1."""
    drawn = [random_signals(torch.Generator().manual_seed(seed)) for seed in range(40)]
    assert all(max(signals.values()) == 1 for signals in drawn)
    brighter = sum(signals["grey"] > signals["white"] for signals in drawn)
    assert 8 < brighter < 32


def test_lesions_change_little_of_an_image():
    """Blobs: what is not one is as it was, and air stays air."""
    image = torch.ones(96, 80)
    image[:20] = 0
    changed = [with_lesions(image, torch.Generator().manual_seed(seed), finer=2) for seed in range(20)]
    parts = [float(((one - image).abs() > 0.02).float().mean()) for one in changed]
    assert max(parts) < 0.5
    assert sum(part > 0 for part in parts) > 12
    assert not any(one[:20].any() for one in changed)


@pytest.mark.parametrize("objects", CASES)
def test_the_card_says_what_the_heads_are_made_of(objects):
    """A file may be any under a known name: its voxels tell, and these are nobody's."""
    description = find_material(recipe(objects), None).description
    assert description.startswith(CASES[objects])
    assert "Louis Collins" not in description


def test_another_anatomy_is_another_material(first):
    """A training that was begun with one does not go on with another."""
    before = find_material(recipe("anatomy"), None).digest
    write(first / files.AVERAGE, torch.ones(SIDES))
    anatomy.cache_clear()
    assert find_material(recipe("anatomy"), None).digest != before


def test_anatomy_that_is_not_installed_is_one_sentence(first, monkeypatch):
    """Before the first step, and it says what to install."""
    monkeypatch.setenv("KBAND_ANATOMY", str(first))
    with pytest.raises(ValueError, match=r"^anatomy: no file ch2\.nii\.gz; install mricron-data of Debian, or name "):
        find_material(recipe("mixed"), None)


def test_a_file_that_is_no_such_volume_is_one_sentence(first):
    (first / files.AVERAGE).write_bytes(b"no volume")
    with pytest.raises(ValueError, match=r"^anatomy: .*converted\.nii\.gz cannot be read \("):
        anatomy()


def test_other_voxels_are_one_sentence(first):
    write(first / files.AVERAGE, torch.ones(SIDES), step=2.0)
    with pytest.raises(ValueError, match=r"its steps are \[\[2\.0, .* uint8 in steps of 1 mm to the right"):
        anatomy()


def test_a_brain_of_another_package_is_one_sentence(first):
    write(first / files.BRAIN, torch.ones(20, 20, 20))
    with pytest.raises(ValueError, match=r"ch2bet\.nii\.gz has 20×20×20 voxels, but ch2\.nii\.gz 80×88×82"):
        anatomy()
