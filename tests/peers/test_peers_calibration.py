"""Our calibration beside that of other packages, on small data."""

import pytest
import torch

from kband_core.calibration import espirit_maps
from kband_core.grappa import apply_grappa, calibrate_grappa
from kband_core.patterns import equispaced_lines
from kband_core.phantom import coil_kspace, head_phantom, loop_coils
from tests.laws import nmse


def head_kspace(shape):
    return coil_kspace(head_phantom(), loop_coils(8, object_phase=1.0), shape, oversampling=1)


def test_espirit_agrees_with_sigpy():
    """Same kernel, same subspace: coil vectors agree to 1 % rms in the head; phase conventions differ."""
    mri = pytest.importorskip("sigpy.mri")
    shape = (48, 40)
    kspace = head_kspace(shape)
    ours = espirit_maps(kspace[:, 12:36], shape)[0]
    calibration = mri.app.EspiritCalib(kspace.numpy(), calib_width=24, thresh=0.02, crop=0.8, show_pbar=False)
    theirs = torch.from_numpy(calibration.run())
    inside = head_phantom().image(shape) > 0.05
    cosine = (ours.conj() * theirs).sum(0).abs()[inside].clamp(max=1)
    assert (1 - cosine.square()).mean().sqrt() < 0.01


@pytest.mark.parametrize("acceleration", [2, 3, 4])
def test_grappa_errs_like_pygrappa(acceleration):
    """Same data and calibration lines, 2 % noise: our NRMSE may exceed theirs by 7 % (6 % at R = 3)."""
    pygrappa = pytest.importorskip("pygrappa")
    kspace = head_kspace((128, 128))
    noise = torch.randn(kspace.shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    kspace = kspace + 0.02 * noise * kspace.abs().square().mean().sqrt()
    sampling = equispaced_lines(128, acceleration, acs_lines=24)
    sampled, acs = kspace * sampling.mask, kspace[:, 52:76].contiguous()
    theirs = torch.from_numpy(pygrappa.mdgrappa(sampled.numpy(), acs.numpy(), kernel_size=(5, 5), coil_axis=0))
    ours = apply_grappa(calibrate_grappa(acs, acceleration), sampled, sampling)
    assert nmse(ours, kspace) < 1.07**2 * nmse(theirs, kspace)
