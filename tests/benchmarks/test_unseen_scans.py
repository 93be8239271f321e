"""Scans unlike those of a training: the array that they name, and objects that reach beyond the image."""

import pytest
import torch

from benchmarks.unseen_scans import cut_object, fading, small_coil_kspace
from kband_core.noise import noise_level
from kband_core.training.simulation.random_objects import random_object


@pytest.mark.parametrize("seed", range(3))
def test_an_array_of_small_coils_is_compressed_as_at_work(seed):
    """Of 16 coils and more the strongest six virtual ones, orthonormal: noise is as loud as asked for."""
    rng = torch.Generator().manual_seed(seed)
    kspace = small_coil_kspace(random_object((64, 57), rng), 6, rng, noise=(0.1, 0.1))
    assert kspace.shape == (6, 64, 57)
    energies = kspace.abs().square().sum((1, 2)).tolist()
    assert energies == sorted(energies, reverse=True)
    assert float(noise_level(kspace, torch.ones(64, 1, dtype=torch.bool))) == pytest.approx(0.1, rel=0.15)


def test_a_cut_object_reaches_the_edge():
    """Whole ones leave the outermost rows and columns to the air; of cut ones, most have signal there."""

    def at_the_edges(draw):
        images = [draw((48, 48), torch.Generator().manual_seed(seed)) for seed in range(20)]
        edges = [torch.cat([image[0], image[-1], image[:, 0], image[:, -1]]).max() for image in images]
        return sum(float(edge) > 0.05 for edge in edges)

    assert at_the_edges(random_object) < 8
    assert at_the_edges(cut_object) > 15


@pytest.mark.parametrize("seed", range(6))
def test_a_cut_object_fades_towards_both_ends_of_one_axis(seed):
    """Along the other it is the same everywhere; the middle stays."""
    fade = fading((40, 60), torch.Generator().manual_seed(seed))
    along = fade[:, 0] if torch.equal(fade, fade[:, :1].expand_as(fade)) else fade[0]
    assert torch.equal(fade, (along[:, None] if len(along) == 40 else along).expand(40, 60))
    assert float(along[len(along) // 2]) > 0.95
    assert float(along[0]) == pytest.approx(float(along[-1]), rel=1e-5)
    assert float(along[0]) < 0.8 * float(along.max())
