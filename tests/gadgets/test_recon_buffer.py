"""A buffer holds k-space of any sampling; planes are made of what is sampled alike in every partition."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gadgets.items import ReconBuffer
from kband_core.sampling import Grid, Trajectory

KZ, KY, KX = 4, 8, 6
ROWS = torch.arange(KY)[:, None]


@pytest.fixture
def buffer(scan_of, rng):
    """Maker of the buffer of one image, three coils, of a mask [kz ky kx] or [kz ky 1]."""

    def make(mask, **fields):
        kspace = torch.randn(1, 1, 1, 3, KZ, KY, KX, dtype=torch.complex64, generator=rng)
        sampling, nothing = Grid(mask[None, None, None]), np.full((1, 1, 1), None, object)
        kspace *= sampling.mask.unsqueeze(3)
        return ReconBuffer(kspace, sampling, nothing, nothing, scan_of().encodings[0], (0, KX), **fields)

    return make


def test_partitions_alike_are_planes(buffer):
    """Every second line of every partition: one mask for all, k-space zero in between."""
    kspace, sampling = buffer((ROWS % 2 == 0).expand(KZ, KY, 1)).planes()
    assert kspace.shape == (KZ, 3, KY, KX)
    assert torch.equal(sampling.mask, (ROWS % 2 == 0)[None])
    assert not kspace[..., 1::2, :].any()


def test_a_missing_partition_is_no_missing_line(buffer):
    """Partial Fourier along kz leaves the planes whole."""
    mask = (torch.arange(KZ) > 0)[:, None, None] & (ROWS >= 0)
    assert buffer(mask).plane_sampling.is_complete()


@pytest.mark.parametrize("n_samples", [1, KX])
def test_undersampling_along_two_axes_is_held_but_not_planes(buffer, n_samples):
    """CAIPIRINHA: the buffer knows, its planes would differ."""
    shifted = (torch.arange(KZ)[:, None, None] + ROWS) % 2 == 0
    held = buffer(shifted.expand(KZ, KY, n_samples))
    assert held.single((0, 0, 0)).sampling.acceleration() == 2
    with pytest.raises(ValueError, match=r"^lines differ from partition to partition; undersampling in 2 directions"):
        held.planes()


def test_calibration_lines_fill_rows_of_their_own(buffer, rng):
    """Row 3 has no line, row 4 has one, which is kept; with a partial echo only its samples count."""
    acs = torch.randn(1, KZ, 3, 2, KX, dtype=torch.complex64, generator=rng)
    held = buffer((ROWS % 2 == 0).expand(KZ, KY, 1), acs=acs, acs_row=3)
    kspace, sampling = held.planes()
    assert sampling.lines().nonzero().flatten().tolist() == [0, 2, 3, 4, 6]
    assert torch.equal(kspace[..., 3, :], acs[0, ..., 0, :])
    assert torch.equal(kspace[..., 4, :], replace(held, acs=None).planes()[0][..., 4, :])
    partial = replace(held, readout=(2, KX)).plane_sampling
    assert torch.equal(partial.mask[0], sampling.mask[0] & (torch.arange(KX) >= 2))


def test_a_trajectory_is_held_but_has_no_planes(buffer):
    """Spokes [slice s n shot sample]: no matrix, no partitions."""
    held = buffer((ROWS >= 0).expand(KZ, KY, 1))
    spokes = Trajectory(torch.zeros(1, 1, 1, 5, KX, 2))
    radial = replace(held, kspace=held.kspace[..., 0, :5, :], sampling=spokes)
    assert radial.single((0, 0, 0)).sampling.shape == (1, 1, 1, 5, KX)
    with pytest.raises(ValueError, match=r"^samples lie along a trajectory; only a grid has planes$"):
        radial.planes()


@pytest.mark.parametrize("sampling", [
    Grid(torch.ones(1, 1, 1, KZ, KY + 1, 1, dtype=torch.bool)),
    Grid(torch.ones(1, 1, 1, KZ, KY, 2, dtype=torch.bool)),
    Grid(torch.ones(KZ, KY, 1, dtype=torch.bool)),
    Trajectory(torch.zeros(1, 1, 1, KY + 1, KX, 2)),
])  # fmt: skip
def test_a_sampling_of_another_kspace_is_refused(buffer, sampling):
    """One sentence with all shapes."""
    held = buffer((ROWS >= 0).expand(KZ, KY, 1))
    with pytest.raises(ValueError, match=r"^buffer: k-space \(1, 1, 1, 3, 4, 8, 6\), sampling .* do not belong"):
        replace(held, sampling=sampling)
