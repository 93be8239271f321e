"""Real radial scans, when they are at hand: gradient delays."""

import numpy as np
import pytest
import torch

from kband_core.data_residual import central_residual
from kband_core.gradient_delays import delayed, find_delays, ring_delays
from kband_core.trajectories import spokes
from pipelines.files.mrd_file import RawFile

pytest.importorskip("finufft")
FILES = "phantom_radial_69spokes_16ch_2slices", "phantom_radial_29spokes_16ch_2slices"
SHAPE = (192, 192)


@pytest.fixture(scope="module", params=[(name, number) for name in FILES for number in (0, 1)], ids=str)
def measured(request, real_scans):
    """K-space `(coil, spoke, sample)` of a slice, the places that the file tells, and nominal ones."""
    name, number = request.param
    with RawFile(real_scans / f"{name}.h5") as raw:
        lines = [line for line in raw if line.idx.slice == number]
    told = torch.from_numpy(np.stack([line.traj[:, ::-1] for line in lines]).astype(np.float32))
    y, x = (told[:, -1] - told[:, 0]).double().unbind(-1)
    kspace = torch.from_numpy(np.stack([line.data for line in lines], 1))
    return kspace, told, spokes(torch.atan2(y, x), told.shape[1])


def test_delays_are_those_that_the_authors_found(measured):
    """Theirs, in the trajectory, are 0.142 along x and 0.124 along y; 0.04 is how far our four estimates scatter."""
    kspace, told, nominal = measured
    residuals = {}

    def residual(coords):
        return residuals.setdefault(coords, central_residual(kspace, coords, SHAPE))

    found = find_delays(kspace, nominal, residual)
    assert found.estimate == "opposed spokes"
    assert found.accepted
    assert (found.matrix - torch.tensor([[0.124, 0.0], [0.0, 0.142]])).abs().max() < 0.04
    assert found.after < 1.02 * residual(told) < 0.95 * found.before
    assert residual(delayed(nominal, -found.matrix)) > 1.2 * found.before


def test_crossings_are_not_believed_where_they_are_wrong(measured):
    """In both files' slice 0 they turn a sign; then, and only then, the residual rises."""
    kspace, _, nominal = measured
    ring = ring_delays(kspace, nominal)
    rises = central_residual(kspace, delayed(nominal, ring), SHAPE) > central_residual(kspace, nominal, SHAPE)
    assert rises == bool((ring.diagonal() < 0).any())
