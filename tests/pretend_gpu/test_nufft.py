"""Transforms along a trajectory on a GPU: by cufinufft where it is installed, without a copy to the CPU and back."""

import math
import sys
from types import SimpleNamespace

import pytest
import torch

from kband_core.nufft import adjoint_nufft, nufft
from kband_core.trajectories import spokes
from tests.pretend_gpu.device import CUDA, OnGpu

finufft = pytest.importorskip("finufft")
N = 12
COORDS = spokes(torch.arange(7) * math.pi / 7, 2 * N)


def stand_in(calls):
    """A cufinufft that takes what the real one does: arrays of the device alone, contiguous, of one precision."""

    def called(name, y, x, data, *shape, isign, eps, gpu_device_id):
        assert gpu_device_id == CUDA.index
        assert all(isinstance(array, OnGpu) and array.is_contiguous() for array in (y, x, data))
        assert y.dtype == x.dtype == data.dtype.to_real()
        calls.append(name)
        arrays = [array.held.numpy() for array in (y, x, data)]
        return OnGpu(torch.from_numpy(getattr(finufft, name)(*arrays, *shape, isign=isign, eps=eps, nthreads=1)))

    names = "nufft2d1", "nufft2d2"
    return SimpleNamespace(**{name: lambda *given, of=name, **told: called(of, *given, **told) for name in names})


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_samples_and_images_are_made_where_they_lie(dtype, gpu, monkeypatch):
    """The numbers of the CPU, and no wait for a copy."""
    calls = []
    monkeypatch.setitem(sys.modules, "cufinufft", stand_in(calls))
    image = torch.randn(2, 3, N, N, dtype=dtype, generator=torch.Generator().manual_seed(0))
    samples = nufft(image, COORDS)
    there, coords = image.to(CUDA), COORDS.to(CUDA)
    gpu.clear()
    of_gpu = nufft(there, coords)
    back = adjoint_nufft(of_gpu.conj(), coords, (N, N))
    assert not gpu
    assert calls == ["nufft2d2", "nufft2d1"]
    torch.testing.assert_close(of_gpu.cpu(), samples)
    torch.testing.assert_close(back.cpu(), adjoint_nufft(samples.conj(), COORDS, (N, N)))


def test_without_cufinufft_they_are_made_on_the_cpu(gpu, monkeypatch):
    """A copy there and back, and the same numbers."""
    monkeypatch.setitem(sys.modules, "cufinufft", None)
    image = torch.randn(3, N, N, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(nufft(image.to(CUDA), COORDS.to(CUDA)).cpu(), nufft(image, COORDS))
    assert gpu
