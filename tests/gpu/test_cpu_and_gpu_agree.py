"""The same pixels on CPU and GPU."""

import pytest
import torch

from kband_core.calibration import espirit_maps, walsh_maps
from kband_core.grappa import apply_grappa, calibrate_grappa
from kband_core.patterns import equispaced_lines
from kband_core.phantom import coil_kspace, head_phantom, loop_coils
from kband_core.reconstruct import sense, zero_filled
from tests.laws import nmse

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.mark.parametrize("method", ["espirit", "espirit2", "walsh", "grappa"])
def test_reconstruction_is_the_same(method):
    """Single precision in another order of summation: relative squared error below 1e-6."""
    kspace = coil_kspace(head_phantom(), loop_coils(8), (96, 96), oversampling=1)
    lines = equispaced_lines(96, 3, acs_lines=24)

    def reconstruct(device: str) -> torch.Tensor:
        full, sampling = kspace.to(device), lines.to(device)
        acs, acquired = full[:, 36:60], full * sampling.mask
        if method == "grappa":
            return zero_filled(apply_grappa(calibrate_grappa(acs, 3), acquired, sampling)).cpu()
        csm = walsh_maps(acs, (96, 96)) if method == "walsh" else espirit_maps(
            acs, (96, 96), n_sets=2 if method == "espirit2" else 1
        )  # fmt: skip
        return sense(acquired, sampling, csm, regularisation=0.01, n_iterations=20).cpu()

    assert nmse(reconstruct("cuda").abs(), reconstruct("cpu").abs()) < 1e-6
